//! What users do with their accounts and queues.

use std::{slice, sync::Arc, time::Duration};

use phoenix_client::{Client, Event, Pace, Settings, Stretch};
use phoenix_core::{
    Fqdn, Uuid,
    api::queue::{FormerTokens, PushToken},
    token::Class,
    wire::SecretOpaque,
};

use super::Stage;
use crate::world::{
    cast::Actor,
    oracle::{Deed, Doing, Why},
    town::{habits, password},
};

impl Stage {
    /// Someone looks after their account. What ends it, or their queue, is done by guests alone.
    pub(super) fn visit(&mut self) {
        let tape = self.cast.ground.tape.clone();
        let residents = self.cast.actors.len();
        let is_guest = tape.strikes(GUESTS);
        let is_one = |it: usize| (it >= residents) == is_guest && !self.is_further(it);
        let Some((number, actor)) = self.idle_of(is_one) else { return };
        self.said += 1;
        let (name, turn) = (format!("{} {}", actor.name, self.said), Turn { wrong: tape.strikes(500) });
        if !self.cast.ground.oracle.is_there(&actor.name) {
            return self.start(vec![number], async move { actor.fetch(&turn).await });
        }
        let pace = if is_guest && tape.strikes(500) { Pace::AtOnce } else { Pace::Gradual };
        match (is_guest, tape.below(if is_guest { 24 } else { 7 })) {
            (_, 0) => self.keep_aliases(number, actor),
            (_, 1) => self.publish(number, actor),
            (_, 2) => self.start(vec![number], async move { actor.fetch(&turn).await }),
            (_, 3) => self.register(number, &actor, &name),
            (_, 4) => self.start(vec![number], async move { actor.set_push_token().await }),
            (false, 5..) | (true, 22..) => {
                self.start(vec![number], async move { actor.rotate_keys(pace).await });
            }
            (_, 5..9) => {
                self.start(vec![number], async move { actor.has_a_further_client(&name, &turn).await })
            }
            (_, 9..12) => self.start(vec![number], async move { actor.change_password(&name, &turn).await }),
            (_, 12..14) => self.start(vec![number], async move { actor.look_after_the_queue().await }),
            (_, 14..18) => self.start(vec![number], async move { actor.end_the_queue(&name, &turn).await }),
            _ => self.go(number, actor, turn),
        }
    }

    /// Someone publishes a profile, or reads another's.
    fn publish(&mut self, number: usize, actor: Arc<Actor>) {
        let from = if self.cast.ground.tape.strikes(500) { self.cast.actors.len() } else { 0 };
        // Nobody publishes another version meanwhile.
        let Some((second, other)) = self.idle_of(|it| it >= from && !self.is_further(it)) else { return };
        self.start(vec![number, second], async move {
            actor.update_profile().await;
            actor.read_profile(&other).await;
        });
    }

    /// Someone goes for good; whoever had the key of its profile reads it no more, and meets nobody.
    fn go(&mut self, number: usize, actor: Arc<Actor>, turn: Turn) {
        let residents = self.cast.actors.len();
        let Some((second, reader)) = self.idle_of(|it| it < residents && !self.is_further(it)) else {
            return;
        };
        self.start(vec![number, second], async move {
            actor.go(&turn).await;
            reader.read_profile(&actor).await;
            reader.meet(&actor, false).await;
        });
    }

    /// Someone registers: under an id of its own, or under one that a user has.
    fn register(&mut self, number: usize, actor: &Arc<Actor>, name: &str) {
        let tape = &self.cast.ground.tape;
        let taken = tape.strikes(500).then(|| actor.user.clone());
        let (name, ground, domain) = (name.to_owned(), self.cast.ground.clone(), actor.user.domain.clone());
        let actor = actor.clone();
        self.start(vec![number], async move {
            let ports = Actor::ports(&ground, &name);
            let settings =
                Settings { user: taken.as_ref().map(|it| it.uuid), ..settings(domain, &password(&name)) };
            let doing = Doing::new(Deed::Register, actor.party());
            let doing = match &taken {
                Some(user) => doing.to(user),
                None => doing,
            };
            actor.attempt_as(&name, doing, Client::register(settings, ports)).await;
        });
    }
}

/// How a visit goes.
struct Turn {
    /// Whether something wrong is tried first.
    wrong: bool,
}

impl Actor {
    fn own(&self, deed: Deed) -> Doing {
        Doing::new(deed, self.party())
    }

    pub(super) async fn update_profile(&self) {
        let published = self.client.update_profile(self.name.as_bytes());
        self.attempt(self.own(Deed::UpdateProfile), published).await;
    }

    /// Whoever has the key reads what was published; of a user that is gone, nothing is left.
    async fn read_profile(&self, other: &Self) {
        let Some(key) = other.client.profile_key().await else { return };
        let doing = self.own(Deed::ReadProfile).to(&other.user);
        let read = self.attempt(doing, self.client.profile(&other.user, &key)).await;
        if read.is_some_and(|read| read != other.name.as_bytes()) {
            self.ground.ledger.violated(format!("{} reads another profile than {}'s", self.name, other.name));
        }
        if other.user.domain != self.user.domain {
            // Refused also where the operator of the own homeserver has blocked the other's.
            let looked_up = self.client.profile_through_home(&other.user, &key).await;
            if looked_up.is_ok_and(|read| read != other.name.as_bytes()) {
                let what = format!("{} is handed another profile than {}'s", self.name, other.name);
                self.ground.ledger.violated(what);
            }
        }
    }

    async fn fetch(&self, turn: &Turn) {
        let domain = self.user.domain.clone();
        self.attempt(self.own(Deed::FetchTokens), self.client.fetch_tokens(&domain, Class::Standard)).await;
        let audiences = slice::from_ref(&domain);
        self.attempt(self.own(Deed::TakeAccessToken), self.client.dpop_token(audiences)).await;
        self.attempt(self.own(Deed::CheckAuthority), self.client.check_authority(&domain)).await;
        if turn.wrong {
            for _ in 0..GREEDY {
                // However often it asks, it gets no more than is allowed (K2).
                self.tell("is greedy", self.client.fetch_tokens(&domain, Class::Alias).await);
            }
            self.attempt(self.own(Deed::Invite), self.client.make_invitation()).await;
        } else {
            self.attempt(self.own(Deed::RequestToken), self.client.request_token(&domain, Class::Standard))
                .await;
        }
    }

    async fn set_push_token(&self) {
        let Ok(address) = SecretOpaque::new(self.name.as_bytes()) else { return };
        let token = PushToken::Other(address);
        self.attempt(self.own(Deed::SetPushToken), self.client.set_push_token(Some(&token))).await;
        self.attempt(self.own(Deed::ReadRecord), self.client.queue_record()).await;
    }

    /// Another client of the user logs in, is given what the two have in common, and goes again.
    async fn has_a_further_client(&self, name: &str, turn: &Turn) {
        let Some(password) = self.ground.oracle.password(&self.user) else { return };
        if turn.wrong {
            self.log_in(name, "a guess").await;
        }
        let Some(client) = self.log_in(name, &password).await else { return };
        let other = Self::new(&self.ground, name, client);
        if other.attempt(other.own(Deed::SetUp), other.client.set_up()).await.is_some() {
            self.share_with(&other, turn).await;
        }
        let nobody = Uuid(self.ground.tape.bytes());
        self.remove_client(nobody, &password, Some(Why::Unknown)).await;
        if turn.wrong {
            self.remove_client(other.client.id().client, "a guess", None).await;
        }
        let doing = self.own(Deed::RemoveClient).with(&password).about(name);
        let removed = self.client.remove_client(other.client.id().client, &password);
        self.attempt(doing, removed).await;
        other.attempt(other.own(Deed::Renew), other.client.renew_credential()).await;
        other.attempt(other.own(Deed::Invite), other.client.make_invitation()).await;
    }

    async fn log_in(&self, name: &str, password: &str) -> Option<Client> {
        let ports = Self::ports(&self.ground, name);
        let settings =
            Settings { user: Some(self.user.uuid), ..settings(self.user.domain.clone(), password) };
        let doing = self.own(Deed::LogIn).with(password);
        self.attempt_as(name, doing, Client::log_in(settings, ports)).await
    }

    async fn share_with(&self, other: &Self, turn: &Turn) {
        let (id, fingerprint) = (other.client.id().client, other.client.fingerprint().await);
        let (own_id, own) = (self.client.id().client, self.client.fingerprint().await);
        if turn.wrong {
            let doing = self.own(Deed::Provision).expecting(Some(Why::OtherKey));
            self.attempt(doing, self.client.provision(id, &own)).await;
            let doing = other.own(Deed::TakeOver).expecting(Some(Why::NotOurs));
            other.attempt(doing, other.client.accept_provision(own_id, &own)).await;
        }
        if self.attempt(self.own(Deed::Provision), self.client.provision(id, &fingerprint)).await.is_none() {
            return;
        }
        let events = other.client.sync(Duration::from_secs(1)).await.unwrap_or_default();
        if !events.iter().any(|event| matches!(event, Event::ProvisionOffered { .. })) {
            return;
        }
        if turn.wrong {
            let doing = other.own(Deed::TakeOver).expecting(Some(Why::OtherKey));
            other.attempt(doing, other.client.accept_provision(own_id, &fingerprint)).await;
        }
        other.attempt(other.own(Deed::TakeOver), other.client.accept_provision(own_id, &own)).await;
    }

    async fn remove_client(&self, client: Uuid, password: &str, expected: Option<Why>) {
        let doing = self.own(Deed::RemoveClient).with(password).expecting(expected);
        self.attempt(doing, self.client.remove_client(client, password)).await;
    }

    async fn change_password(&self, new: &str, turn: &Turn) {
        let Some(old) = self.ground.oracle.password(&self.user) else { return };
        if turn.wrong {
            let doing = self.own(Deed::ChangePassword).with("a guess").about(new);
            self.attempt(doing, self.client.change_password("a guess", new)).await;
        }
        let doing = self.own(Deed::ChangePassword).with(&old).about(new);
        self.attempt(doing, self.client.change_password(&old, new)).await;
        self.attempt(self.own(Deed::Renew), self.client.renew_credential()).await;
    }

    async fn look_after_the_queue(&self) {
        self.attempt(self.own(Deed::ReadRecord), self.client.queue_record()).await;
        self.attempt(self.own(Deed::Rotate), self.client.rotate_friendship(FormerTokens::Grace)).await;
        self.rotate_keys(Pace::Gradual).await;
        self.renew_queue(Deed::RestartQueue).await;
        self.sync().await;
    }

    /// Takes other keys at the queuing service, and takes back what was given out before. At once, messages and
    /// invitations on their way are lost: that is for those who are in no group.
    async fn rotate_keys(&self, pace: Pace) {
        self.attempt(self.own(Deed::RotateKey), self.client.rotate_client_key(pace)).await;
        self.attempt(self.own(Deed::RotateUserKey), self.client.rotate_user_key()).await;
        self.attempt(self.own(Deed::ReplaceConfigs), self.client.replace_configs(pace)).await;
    }

    async fn end_the_queue(&self, name: &str, turn: &Turn) {
        self.renew_queue(Deed::DeleteQueue).await;
        self.look_after_the_queue().await;
        self.set_push_token().await;
        if turn.wrong {
            self.has_a_further_client(name, &Turn { wrong: false }).await;
        } else {
            self.renew_queue(Deed::SetUp).await;
        }
    }

    /// Ends the queue or begins it again, in one of the ways in which what was not read is lost.
    async fn renew_queue(&self, deed: Deed) {
        self.ground.ledger.begins_again(&self.name);
        let renewed = async {
            match deed {
                Deed::RestartQueue => self.client.restart_queue().await,
                Deed::DeleteQueue => self.client.delete_queue().await,
                _ => self.client.set_up().await,
            }
        };
        self.attempt(self.own(deed), renewed).await;
        self.ground.ledger.begins_again(&self.name);
    }

    /// Ends the queue for good. Says whether that was done.
    pub(crate) async fn ends_its_queue(&self) -> bool {
        self.ground.ledger.begins_again(&self.name);
        self.attempt(self.own(Deed::DeleteQueue), self.client.delete_queue()).await.is_some()
    }

    /// Deletes the user. What its client asks for afterwards, it is refused.
    async fn go(&self, turn: &Turn) {
        let Some(password) = self.ground.oracle.password(&self.user) else { return };
        if turn.wrong {
            let doing = self.own(Deed::DeleteUser).with("a guess");
            self.attempt(doing, self.client.delete_user("a guess")).await;
        }
        self.update_profile().await;
        let doing = self.own(Deed::DeleteUser).with(&password);
        self.attempt(doing, self.client.delete_user(&password)).await;
        self.fetch(&Turn { wrong: true }).await;
        self.fetch(&Turn { wrong: false }).await;
        self.update_profile().await;
        let doing = self.own(Deed::DeleteUser).with(&password);
        self.attempt(doing, self.client.delete_user(&password)).await;
    }
}

fn settings(domain: Fqdn, password: &str) -> Settings {
    Settings { stretch: Stretch::least(), habits: habits(), ..Settings::new(domain, password) }
}

/// How many in a thousand visits are of guests.
const GUESTS: u16 = 700;

/// More Alias tokens than one client gets.
const GREEDY: usize = 7;
