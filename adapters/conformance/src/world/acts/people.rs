//! How users of a run come to know each other.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use phoenix_client::{Event, OfferId};
use phoenix_core::{AliasHash, Fqdn, UserId};

use super::Stage;
use crate::world::{
    cast::Actor,
    oracle::{Deed, Doing, Why},
};

impl Stage {
    /// Two who have nothing else to do meet: by their ids, or one by the other's alias.
    pub(super) fn meet(&mut self) {
        let oracle = &self.cast.ground.oracle;
        let can_meet = |number: usize| {
            let actor = self.cast.everyone().nth(number);
            actor.is_some_and(|it| !it.is_further && oracle.has_queue(&it.name))
        };
        let Some((first, one)) = self.idle_of(can_meet) else { return };
        let is_another = |number: usize| number != first && !self.is_further(number);
        let Some((second, other)) = self.idle_of(is_another) else { return };
        let tape = &self.cast.ground.tape;
        let (by_alias, declines) = (tape.strikes(500), tape.strikes(350));
        let has_alias = by_alias && oracle.is_there(&other.name) && tape.strikes(800);
        let alias = format!("alias {}", tape.below(ALIASES));
        self.start(vec![first, second], async move {
            if has_alias {
                other.register_alias(&alias).await;
            }
            match by_alias {
                true => one.meet_by_alias(&other, &alias, declines).await,
                false => one.meet(&other, declines).await,
            }
        });
    }

    /// Someone registers an alias that somebody may have, keeps it, or gives up one that may be theirs.
    pub(super) fn keep_aliases(&mut self, number: usize, actor: Arc<Actor>) {
        let tape = &self.cast.ground.tape;
        let (alias, other) = (tape.below(ALIASES), tape.below(ALIASES));
        let choice = tape.below(4);
        let is_neighbour = |it: &usize| {
            let neighbour = self.cast.everyone().nth(*it);
            *it != number
                && !self.is_further(*it)
                && neighbour.is_some_and(|it| it.user.domain == actor.user.domain)
        };
        let Some((second, neighbour)) = self.idle_of(|it| is_neighbour(&it)) else { return };
        self.start(vec![number, second], async move {
            actor.register_alias(&format!("alias {alias}")).await;
            neighbour.register_alias(&format!("alias {alias}")).await;
            match choice {
                0 => actor.renew_alias(&format!("alias {other}")).await,
                1 => actor.delete_alias(&format!("alias {other}")).await,
                _ => {
                    actor.renew_alias(&format!("alias {alias}")).await;
                    actor.delete_alias(&format!("alias {alias}")).await;
                    actor.renew_alias(&format!("alias {alias}")).await;
                    actor.delete_alias(&format!("alias {alias}")).await;
                }
            }
        });
    }
}

impl Actor {
    /// Offers a connection, which the other accepts or declines; an offer that was answered cannot be answered again.
    pub(super) async fn meet(&self, other: &Self, declines: bool) {
        let is_known = self.client.connections().await.contains(&other.user);
        let expected = is_known.then_some(Why::Connected);
        let doing = Doing::new(Deed::Connect, self.party()).to(&other.user).expecting(expected);
        if self.attempt(doing, self.client.connect(&other.user)).await.is_none() {
            return;
        }
        other.answers(declines).await;
        self.sync().await;
    }

    async fn meet_by_alias(&self, other: &Self, alias: &str, declines: bool) {
        let domain = other.user.domain.clone();
        let doing = Doing::new(Deed::ConnectAlias, self.party()).with(alias).about(domain.as_str());
        if self.attempt(doing, self.client.connect_alias(alias, &domain)).await.is_none() {
            return;
        }
        other.answers(declines).await;
        for event in self.client.sync(Duration::from_secs(1)).await.unwrap_or_default() {
            self.note(&event).await;
            if let Event::AliasAnswered { group, .. } = event {
                // By then, the two may be connected by another offer.
                let _ = self.client.confirm(&group).await;
            }
        }
    }

    /// Answers an offer, where one has come.
    async fn answers(&self, declines: bool) {
        if !self.ground.oracle.has_queue(&self.name) {
            return;
        }
        self.sync().await;
        if let Some((offer, from)) = self.take_offer() {
            self.answer(offer, &from, declines).await;
        }
    }

    async fn answer(&self, offer: OfferId, from: &UserId, declines: bool) {
        // Of two offers between the same two, the first that is accepted ends the other.
        if self.client.connections().await.contains(from) {
            return self.client.ignore(offer).await;
        }
        let (deed, other) =
            if declines { (Deed::Decline, Deed::Accept) } else { (Deed::Accept, Deed::Decline) };
        if self.answer_once((deed, offer), from, None).await {
            self.answer_once((deed, offer), from, Some(Why::NotOurs)).await;
            self.answer_once((other, offer), from, Some(Why::NotOurs)).await;
        }
    }

    async fn answer_once(
        &self,
        (deed, offer): (Deed, OfferId),
        from: &UserId,
        expected: Option<Why>,
    ) -> bool {
        let doing = Doing::new(deed, self.party()).to(from).expecting(expected);
        let answered = async {
            match deed {
                Deed::Accept => self.client.accept(offer).await.map(|_| ()),
                _ => self.client.decline(offer).await,
            }
        };
        self.attempt(doing, answered).await.is_some()
    }

    async fn register_alias(&self, alias: &str) {
        let doing = Doing::new(Deed::RegisterAlias, self.party()).with(alias);
        self.attempt(doing, self.client.register_alias(alias)).await;
    }

    async fn renew_alias(&self, alias: &str) {
        let doing = Doing::new(Deed::RenewAlias, self.party()).with(alias);
        let Some(hash) = hashed(alias, &self.user.domain) else { return };
        self.attempt(doing, self.client.renew_alias(&hash)).await;
    }

    async fn delete_alias(&self, alias: &str) {
        let doing = Doing::new(Deed::DeleteAlias, self.party()).with(alias);
        let Some(hash) = hashed(alias, &self.user.domain) else { return };
        self.attempt(doing, self.client.delete_alias(&hash)).await;
    }
}

/// The hash of an alias, which is dear: all runs have the same few.
fn hashed(alias: &str, domain: &Fqdn) -> Option<AliasHash> {
    static KNOWN: Mutex<BTreeMap<(String, Fqdn), AliasHash>> = Mutex::new(BTreeMap::new());
    let key = (alias.to_owned(), domain.clone());
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
    known.or_else(|| {
        let hash = phoenix_client::alias_hash(alias, domain).ok()?;
        KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(key, hash);
        Some(hash)
    })
}

/// Aliases that there may be at each domain.
const ALIASES: usize = 2;
