//! What happens in groups.

use std::{collections::BTreeSet, sync::Arc};

use futures::future::{join, join_all};
use phoenix_client::ClientError;
use phoenix_core::{
    GroupId, UserId, Uuid,
    api::{delivery::ReportReason, queue::ConfigRule},
};

use super::{STRAYS, Stage};
use crate::world::{
    cast::Actor,
    oracle::{Deed, Doing, Why},
};

impl Stage {
    pub(super) fn send(&mut self) {
        let Some((number, actor, group)) = self.member() else { return };
        self.said += 1;
        let text = format!("{} says {}", actor.name, self.said);
        self.hush(&group, &text);
        self.start(vec![number], async move { actor.send(&group, &text).await });
    }

    pub(super) fn whisper(&mut self) {
        let Some((number, actor, group)) = self.member() else { return };
        let Some(other) = self.someone_but(&actor) else { return };
        self.said += 1;
        let text = format!("{} whispers {}", actor.name, self.said);
        self.hush(&group, &text);
        self.start(vec![number], async move { actor.whisper(&group, &other, &text).await });
    }

    /// Someone says something of the moment, while another member reads through a stream.
    pub(super) fn hint(&mut self) {
        let Some((number, actor, group)) = self.member() else { return };
        let listens =
            |it: usize| it != number && self.cast.actors.get(it).is_some_and(|it| it.is_member(&group));
        let Some((second, listener)) = self.idle_of(listens) else { return };
        self.said += 1;
        let text = format!("{} hints {}", actor.name, self.said);
        self.hush(&group, &text);
        self.start(vec![number, second], async move {
            let hints = async {
                actor.pause(LISTENING_MS).await;
                actor.hint(&group, &text).await;
            };
            join(listener.read_through_a_stream(), hints).await;
        });
    }

    pub(super) fn update(&mut self) {
        let Some((number, actor, group)) = self.member() else { return };
        self.start(vec![number], async move { actor.update(&group).await });
    }

    /// All members that have nothing else to do commit at once.
    pub(super) fn race(&mut self) {
        let Some(group) = self.cast.ground.tape.pick(&self.cast.groups()).cloned() else { return };
        let takes_part = |actor: &Actor| actor.is_member(&group) && !actor.is_deaf(&group);
        let idle = self.cast.actors.iter().enumerate().filter(|(number, _)| !self.busy.contains(number));
        let racers: Vec<(usize, Arc<Actor>)> =
            idle.filter(|(_, actor)| takes_part(actor)).map(|(number, it)| (number, it.clone())).collect();
        self.cast.ground.log.line(format!("{} commit at once", racers.len()));
        let numbers = racers.iter().map(|(number, _)| *number).collect();
        self.start(numbers, async move {
            join_all(racers.iter().map(|(_, actor)| actor.update(&group))).await;
        });
    }

    /// Someone changes who is in a group or who is admin: one such thing at a time in each group.
    pub(super) fn change(&mut self) {
        let Some((number, _, group)) = self.member() else { return };
        if self.cast.ground.oracle.is_changing(&group) {
            return;
        }
        match self.cast.ground.tape.below(100) {
            0..22 => self.add(number, &group),
            22..38 => self.change_member(number, &group, Deed::Remove),
            38..56 => self.change_member(number, &group, Deed::Promote),
            56..74 => self.change_member(number, &group, Deed::Demote),
            74..82 => self.leave(number, &group),
            82..90 => self.found(number),
            _ => self.end(number, &group),
        }
    }

    fn add(&mut self, number: usize, group: &GroupId) {
        let Some(adder) = self.adder(number, group) else { return };
        let absent: Vec<UserId> = self.cast.absent(group);
        let Some(user) = self.cast.ground.tape.pick(&absent).cloned() else { return };
        let Some(other) = self.cast.first_clients().find(|actor| actor.user == user).cloned() else { return };
        let (number, actor) = adder;
        let group = group.clone();
        self.start(vec![number], async move { actor.add(&group, &other).await });
    }

    /// Someone removes a member, or changes its role; mostly an admin.
    fn change_member(&mut self, number: usize, group: &GroupId, deed: Deed) {
        let (members, admins) = self.cast.ground.oracle.members(group);
        // Of several admins, anyone may be tried to be made a plain member by anyone.
        let is_plain = |it: usize| {
            let actor = self.cast.actors.get(it).filter(|it| !it.is_deaf(group));
            actor.is_some_and(|it| members.contains(&it.user) && !admins.contains(&it.user))
        };
        let anyone = || match self.cast.ground.tape.strikes(500) {
            true => self.idle_of(is_plain),
            false => self.cast.actors.get(number).map(|actor| (number, actor.clone())),
        };
        let is_open = deed == Deed::Demote && admins.len() > 1;
        let Some((number, actor)) = (if is_open { anyone() } else { self.adder(number, group) }) else {
            return;
        };
        let own = actor.user.clone();
        let is_one = |other: &Actor| match deed {
            Deed::Demote => admins.contains(&other.user) || other.user == own,
            Deed::Promote => other.user != own,
            _ => other.user != own && !self.cast.is_deaf(&other.user, group),
        };
        let mut others: Vec<UserId> =
            self.cast.first_clients().filter(|it| is_one(it)).map(|it| it.user.clone()).collect();
        if deed != Deed::Demote && self.cast.ground.tape.strikes(STRAYS) {
            others.retain(|user| !members.contains(user));
        }
        let Some(user) = self.cast.ground.tape.pick(&others).cloned() else { return };
        let would_be_few = self.cast.present(group).len() <= FEWEST && deed == Deed::Remove;
        if would_be_few && admins.contains(&actor.user) {
            return;
        }
        let group = group.clone();
        self.start(vec![number], async move { actor.change_member(&group, &user, deed).await });
    }

    /// An admin of the group in place of whoever was chosen, more often than not.
    fn adder(&self, number: usize, group: &GroupId) -> Option<(usize, Arc<Actor>)> {
        let (_, admins) = self.cast.ground.oracle.members(group);
        let is_admin = |number: usize| {
            self.cast.actors.get(number).is_some_and(|it| admins.contains(&it.user) && !it.is_deaf(group))
        };
        if self.cast.ground.tape.strikes(ADMINS)
            && let Some(admin) = self.idle_of(is_admin)
        {
            return Some(admin);
        }
        Some((number, self.cast.actors.get(number)?.clone()))
    }

    /// Someone leaves, and with its client its user.
    fn leave(&mut self, number: usize, group: &GroupId) {
        let Some(actor) = self.cast.actors.get(number).cloned() else { return };
        if self.cast.is_only_client(&actor) {
            let group = group.clone();
            self.start(vec![number], async move { actor.leave(&group).await });
        }
    }

    fn found(&mut self, number: usize) {
        if self.cast.groups().len() >= MOST_GROUPS {
            return;
        }
        let Some(actor) = self.cast.actors.get(number).cloned() else { return };
        let others: Vec<_> = self.cast.first_clients().filter(|it| it.user != actor.user).cloned().collect();
        let Some(other) = self.cast.ground.tape.pick(&others).cloned() else { return };
        let cast = self.cast.clone();
        self.start(vec![number], async move {
            if let Some(group) = actor.found().await {
                actor.add(&group, &other).await;
                cast.add_group(&group);
            }
        });
    }

    /// Ends a group, where enough are left.
    fn end(&mut self, number: usize, group: &GroupId) {
        let Some((number, actor)) = self.adder(number, group) else { return };
        let is_heard = !self.cast.actors.iter().any(|it| it.is_deaf(group));
        let left = self.cast.groups().iter().filter(|it| !self.cast.ground.oracle.has_ended(it)).count();
        let (_, admins) = self.cast.ground.oracle.members(group);
        if is_heard && (left >= FEWEST_GROUPS || !admins.contains(&actor.user)) {
            let group = group.clone();
            self.start(vec![number], async move { actor.end(&group).await });
        }
    }

    /// Someone who is in a group no more, and may not know it, goes on as if it were.
    pub(super) fn trespass(&mut self) {
        let oracle = &self.cast.ground.oracle;
        let mut groups = self.cast.groups();
        let is_outside = |group: &GroupId, actor: &Actor| {
            let has_been = actor.diary().groups.contains_key(group) && !actor.is_deaf(group);
            has_been && !oracle.members(group).0.contains(&actor.user)
        };
        groups.retain(|group| self.cast.actors.iter().any(|actor| is_outside(group, actor)));
        if groups.iter().any(|group| oracle.has_ended(group)) && self.cast.ground.tape.strikes(600) {
            groups.retain(|group| oracle.has_ended(group));
        }
        let Some(group) = self.cast.ground.tape.pick(&groups).cloned() else { return };
        let is_one = |number: usize| self.cast.actors.get(number).is_some_and(|it| is_outside(&group, it));
        let Some((number, actor)) = self.idle_of(is_one) else { return };
        let Some(user) = self.someone_but(&actor) else { return };
        let Some(other) = self.cast.first_clients().find(|it| it.user == user).cloned() else { return };
        self.said += 1;
        let (text, first) =
            (format!("{} says {}", actor.name, self.said), self.cast.ground.tape.below(TRESPASSES));
        self.start(vec![number], async move {
            for turn in 0..TRESPASSES {
                actor.trespass(&group, &other, (first + turn) % TRESPASSES, &text).await;
            }
        });
    }

    /// Someone shows its profile to a group, or reports a member.
    pub(super) fn say_of_members(&mut self) {
        let Some((number, actor, group)) = self.member() else { return };
        let Some(other) = self.someone_but(&actor) else { return };
        match self.cast.ground.tape.strikes(500) {
            true => {
                let publishes = !actor.is_further && self.cast.ground.tape.strikes(600);
                self.start(vec![number], async move {
                    if publishes {
                        actor.update_profile().await;
                    }
                    actor.share(&group).await;
                });
            }
            false => self.start(vec![number], async move { actor.report(&group, &other).await }),
        }
    }

    /// Someone stores nothing of a group any more, which may go on at once.
    pub(super) fn block(&mut self) {
        let Some((number, actor, mut group)) = self.member() else { return };
        if self.cast.ground.tape.strikes(STRAYS) {
            // One that there is not.
            group.uuid = Uuid(self.cast.ground.tape.bytes());
        }
        let hears = |it: &Arc<Actor>| it.is_member(&group) && !it.is_deaf(&group);
        let goes_on = |it: usize| it != number && self.cast.actors.get(it).is_some_and(hears);
        let other = self.idle_of(goes_on).filter(|_| self.cast.ground.tape.strikes(GOES_ON));
        let busy = [number].into_iter().chain(other.as_ref().map(|(second, _)| *second)).collect();
        self.start(busy, async move {
            actor.block(&group).await;
            if let Some((_, other)) = other {
                other.update(&group).await;
            }
        });
    }

    /// Someone who did, does so again, and says so in a group that may have gone on meanwhile.
    pub(super) fn free(&mut self) {
        let deaf = |number: usize| self.cast.actors.get(number).is_some_and(|it| !it.deaf_to().is_empty());
        let Some((number, actor)) = self.idle_of(deaf) else { return };
        let Some(group) = actor.deaf_to().pop() else { return };
        self.said += 1;
        let text = format!("{} says {}", actor.name, self.said);
        self.hush(&group, &text);
        self.start(vec![number], async move {
            actor.free(&group).await;
            if !actor.is_deaf(&group) {
                actor.come_back(&group, &text).await;
            }
        });
    }

    /// Who has blocked a group is not shown what is said in it from now on.
    fn hush(&self, group: &GroupId, text: &str) {
        let deaf = self.cast.actors.iter().filter(|actor| actor.has_blocked(group));
        let deaf: BTreeSet<String> = deaf.map(|actor| actor.name.clone()).collect();
        self.cast.ground.ledger.hush(group, text, deaf);
    }

    fn someone_but(&self, actor: &Actor) -> Option<UserId> {
        let others: Vec<&UserId> =
            self.cast.first_clients().map(|it| &it.user).filter(|user| **user != actor.user).collect();
        self.cast.ground.tape.pick(&others).map(|user| (*user).clone())
    }
}

impl Actor {
    fn doing(&self, deed: Deed, group: &GroupId) -> Doing {
        Doing::new(deed, self.party()).in_group(group)
    }

    pub(crate) async fn send(&self, group: &GroupId, text: &str) {
        self.ground.ledger.speaks(&self.name, text);
        self.attempt(self.doing(Deed::Send, group), self.client.send(group, text)).await;
    }

    async fn whisper(&self, group: &GroupId, other: &UserId, text: &str) {
        self.ground.ledger.whispers(&self.name, self.ground.oracle.names_of(other), text);
        self.attempt(self.doing(Deed::Whisper, group).to(other), self.client.send_to(group, other, text))
            .await;
    }

    async fn hint(&self, group: &GroupId, text: &str) {
        self.ground.ledger.hints(&self.name, text, self.ground.clock.elapsed_ms());
        self.attempt(self.doing(Deed::Hint, group), self.client.send_ephemeral(group, text)).await;
    }

    /// Says something in a group that was not heard for a while: whoever does so has what the others have then.
    async fn come_back(&self, group: &GroupId, text: &str) {
        let reached = self.ground.ledger.reached(group);
        self.ground.ledger.speaks(&self.name, text);
        let said = async {
            self.client.send(group, text).await?;
            match self.client.epoch(group).await?.0 >= reached {
                true => Ok(()),
                false => Err(ClientError::State("the others have gone on")),
            }
        };
        self.attempt(self.doing(Deed::ComeBack, group), said).await;
    }

    pub(crate) async fn update(&self, group: &GroupId) {
        self.attempt(self.doing(Deed::Update, group), self.client.update(group)).await;
    }

    /// Adds a user, unless only one of the two knows that they are connected.
    async fn add(&self, group: &GroupId, other: &Self) {
        let ours = self.client.connections().await.contains(&other.user);
        if ours != other.client.connections().await.contains(&self.user) {
            return;
        }
        let mut doing = self.doing(Deed::Add, group).to(&other.user);
        doing.are_friends = ours;
        self.attempt(doing, self.client.invite(group, std::slice::from_ref(&other.user))).await;
    }

    /// Does one of the things that only members do.
    async fn trespass(&self, group: &GroupId, other: &Self, turn: usize, text: &str) {
        match turn {
            0 => self.send(group, text).await,
            1 => self.whisper(group, &other.user, &text.replace("says", "whispers")).await,
            2 => self.update(group).await,
            3 => {
                if !self.is_further {
                    self.update_profile().await;
                }
                self.share(group).await;
            }
            4 => self.report(group, &other.user).await,
            5 => self.hint(group, &text.replace("says", "hints")).await,
            // One such thing at a time in each group.
            _ if self.ground.oracle.is_changing(group) => {}
            6 => self.add(group, other).await,
            7 => self.change_member(group, &other.user, Deed::Remove).await,
            8 => self.change_member(group, &other.user, Deed::Promote).await,
            9 => self.change_member(group, &other.user, Deed::Demote).await,
            10 => self.leave(group).await,
            _ => self.end(group).await,
        }
    }

    async fn change_member(&self, group: &GroupId, user: &UserId, deed: Deed) {
        let users = std::slice::from_ref(user);
        let done = async {
            match deed {
                Deed::Promote => self.client.promote(group, users).await,
                Deed::Demote => self.client.demote(group, users).await,
                _ => self.client.remove(group, users).await,
            }
        };
        self.attempt(self.doing(deed, group).to(user), done).await;
    }

    async fn leave(&self, group: &GroupId) {
        let left = self.attempt(self.doing(Deed::Leave, group), self.client.leave(group)).await;
        if left.is_some() && self.ground.oracle.has_ended(group) {
            self.diary().ended(group);
        }
    }

    async fn found(&self) -> Option<GroupId> {
        let doing = Doing::new(Deed::Found, self.party());
        let group = self.attempt(doing, self.client.create_group()).await?;
        self.ground.oracle.founded(&group, &self.user);
        self.settle(&group).await;
        Some(group)
    }

    async fn end(&self, group: &GroupId) {
        let ended = self.attempt(self.doing(Deed::End, group), self.client.delete_group(group)).await;
        if ended.is_some() {
            self.diary().ended(group);
        }
    }

    async fn share(&self, group: &GroupId) {
        self.attempt(self.doing(Deed::Share, group), self.client.share_profile(group)).await;
    }

    async fn report(&self, group: &GroupId, other: &UserId) {
        let reported = async {
            let members = self.client.members(group).await?;
            let accused = members.iter().find(|member| member.user.as_ref() == Some(other));
            let leaf = accused.ok_or(ClientError::State("no such member"))?.leaf;
            self.client.report(group, leaf, ReportReason::Spam, b"what was said").await
        };
        self.attempt(self.doing(Deed::Report, group).to(other), reported).await;
    }

    async fn block(&self, group: &GroupId) {
        let is_known = self.client.groups().await.contains(group);
        let is_in = self.is_member(group);
        // Who is in it no more, or has left, would not be told of that.
        let stays = self.ground.oracle.members(group).0.contains(&self.user);
        if is_known && !(is_in && stays) {
            return;
        }
        let doing = Doing::new(Deed::Block, self.party()).expecting((!is_known).then_some(Why::Unknown));
        if is_in {
            self.diary().turns_deaf(group);
        }
        let blocked = self.attempt(doing, self.client.rule_group(group, ConfigRule::Blocked)).await;
        if blocked.is_some() {
            self.diary().has_blocked(group);
        }
    }

    /// Hears again what is said in a group.
    pub(crate) async fn free(&self, group: &GroupId) {
        self.ground.ledger.unhush(&self.name, group);
        self.diary().turns_deaf(group);
        let doing = Doing::new(Deed::Free, self.party());
        let freed = self.attempt(doing, self.client.rule_group(group, ConfigRule::Free)).await;
        if freed.is_some() {
            self.diary().hears(group);
        }
    }
}

/// What a trespasser does, in turn.
const TRESPASSES: usize = 12;
/// How many in a thousand groups go on as soon as somebody has blocked them.
const GOES_ON: u16 = 500;
/// How long a stream is read before something of the moment is said.
const LISTENING_MS: u64 = 500;
/// How many in a thousand changes are made by an admin, where one has nothing else to do.
const ADMINS: u16 = 650;
/// Members below which none is taken away.
const FEWEST: usize = 3;
/// Groups below which none is ended.
const FEWEST_GROUPS: usize = 2;
/// Groups that there are at most.
const MOST_GROUPS: usize = 6;
