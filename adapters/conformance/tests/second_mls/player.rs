//! Whoever plays, on either implementation: what both can be asked to do, and what both tell.

use std::{slice, sync::Arc, time::Duration};

use phoenix_client::{Client, Event, Settings};
use phoenix_core::{GroupId, LeafIndex, UserId, crypto::Suite};

use crate::{
    second_client::{Heard, Known, SecondClient},
    site::{Site, fqdn, password},
};

/// Mia and Max are on mls-rs, Olga and Otto on OpenMLS; Mia and Olga live at one homeserver, Max and Otto at another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Mia,
    Max,
    Olga,
    Otto,
}

/// A user's client.
pub(crate) enum Player {
    /// The reference client, on OpenMLS.
    First(Arc<Client>),
    /// The second one, on mls-rs.
    Second(Box<SecondClient>),
}

/// A member, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) leaf: LeafIndex,
    pub(crate) user: UserId,
    pub(crate) is_admin: bool,
}

impl Player {
    /// Registers somebody, whose keys are of this suite.
    pub(crate) fn register(who: Who, site: &mut Site, suite: Suite) -> Self {
        let (name, domain) = match who {
            Who::Mia => ("mia", ALPHA),
            Who::Max => ("max", BETA),
            Who::Olga => ("olga", ALPHA),
            Who::Otto => ("otto", BETA),
        };
        match who {
            Who::Mia | Who::Max => Self::Second(Box::new(SecondClient::register(site, name, domain, suite))),
            Who::Olga | Who::Otto => {
                let settings = Settings::new(fqdn(domain), password(name));
                Self::First(site.register_with(settings, suite).client)
            }
        }
    }

    /// The client that has the account: of either, the reference client.
    pub(crate) fn account(&self) -> &Client {
        match self {
            Self::First(client) => client,
            Self::Second(client) => client.account(),
        }
    }

    pub(crate) fn user(&self) -> &UserId {
        self.account().user()
    }

    pub(crate) async fn offer_connection(&mut self, to: &UserId) -> GroupId {
        match self {
            Self::First(client) => client.connect(to).await.unwrap(),
            Self::Second(client) => client.connect(to).await.unwrap(),
        }
    }

    /// Waits to learn that its offer was accepted.
    pub(crate) async fn is_told_to_be_connected(&mut self, group: &GroupId) {
        match self {
            Self::First(client) => {
                let connected = until(client, |event| {
                    matches!(event, Event::Connected { group: stands, .. } if stands == group).then_some(())
                });
                connected.await;
            }
            Self::Second(client) => {
                let heard = client.read().await;
                assert!(heard.iter().any(|it| matches!(it, Heard::Commit(of, _) if of == group)));
            }
        }
    }

    pub(crate) async fn create_group(&mut self) -> GroupId {
        match self {
            Self::First(client) => client.create_group().await.unwrap(),
            Self::Second(client) => client.create_group().await.unwrap(),
        }
    }

    /// Adds friends: on OpenMLS in one commit, on mls-rs in one each.
    pub(crate) async fn invite(&mut self, group: &GroupId, users: &[UserId]) {
        match self {
            Self::First(client) => client.invite(group, users).await.unwrap(),
            Self::Second(client) => {
                for user in users {
                    client.invite(group, user).await.unwrap();
                }
            }
        }
    }

    /// Joins the group that a friend adds it to.
    pub(crate) async fn join(&mut self, group: &GroupId, by: &UserId) {
        match self {
            Self::First(client) => {
                let host = until(client, |event| match event {
                    Event::Joined { group: joined, by } if joined == group => Some(by.clone()),
                    _ => None,
                });
                assert_eq!(host.await, *by);
            }
            Self::Second(client) => assert_eq!(client.read().await, [Heard::Joined(group.clone())]),
        }
    }

    pub(crate) async fn update(&mut self, group: &GroupId) {
        match self {
            Self::First(client) => client.update(group).await.unwrap(),
            Self::Second(client) => drop(client.update(group).await.unwrap()),
        }
    }

    pub(crate) async fn remove(&mut self, group: &GroupId, user: &UserId) {
        match self {
            Self::First(client) => client.remove(group, slice::from_ref(user)).await.unwrap(),
            Self::Second(client) => drop(client.remove(group, user).await.unwrap()),
        }
    }

    /// Makes these users admins, and nobody else.
    pub(crate) async fn appoint(&mut self, group: &GroupId, users: &[UserId]) {
        let others: Vec<_> = self.members(group).await.into_iter().map(|it| it.user).collect();
        let others: Vec<_> = others.into_iter().filter(|user| !users.contains(user)).collect();
        match self {
            Self::First(client) => client.change_roles(group, users, &others).await.unwrap(),
            Self::Second(client) => drop(client.appoint(group, users).await.unwrap()),
        }
    }

    pub(crate) async fn leave(&mut self, group: &GroupId) {
        match self {
            Self::First(client) => client.leave(group).await.unwrap(),
            Self::Second(client) => drop(client.leave(group).await.unwrap()),
        }
    }

    /// Ends its queue: nothing reaches it any more.
    pub(crate) async fn end_queue(&mut self) {
        match self {
            Self::First(client) => client.delete_queue().await.unwrap(),
            Self::Second(client) => client.end_record().await,
        }
    }

    pub(crate) async fn send(&mut self, group: &GroupId, text: &str) {
        match self {
            Self::First(client) => drop(client.send(group, text).await.unwrap()),
            Self::Second(client) => drop(client.send(group, text).await.unwrap()),
        }
    }

    /// Reads all that has come, and does what is to be done by itself.
    pub(crate) async fn catch_up(&mut self) {
        match self {
            Self::First(client) => while !client.sync(PATIENCE).await.unwrap().is_empty() {},
            Self::Second(client) => drop(client.read().await),
        }
    }

    /// The texts that come next, and who wrote each.
    pub(crate) async fn texts(&mut self, group: &GroupId) -> Vec<(UserId, String)> {
        match self {
            Self::First(client) => {
                let text = until(client, |event| match event {
                    Event::Message(it) => {
                        Some((it.sender.clone(), String::from_utf8_lossy(&it.text).into_owned()))
                    }
                    _ => None,
                });
                vec![text.await]
            }
            Self::Second(client) => {
                let (heard, members) = (client.read().await, client.members(group).await);
                let of = |leaf| members.iter().find(|it| it.leaf == leaf).unwrap().user.clone();
                heard.into_iter().filter_map(|it| text(it).map(|(leaf, text)| (of(leaf), text))).collect()
            }
        }
    }

    /// Waits to learn that it is no member any more.
    pub(crate) async fn is_told_to_be_out(&mut self, group: &GroupId) {
        match self {
            Self::First(client) => {
                until(client, |event| {
                    matches!(event, Event::Removed { group: left } if left == group).then_some(())
                })
                .await;
            }
            Self::Second(client) => {
                assert_eq!(client.read().await.last(), Some(&Heard::Removed(group.clone())));
            }
        }
    }

    pub(crate) async fn epoch(&self, group: &GroupId) -> u64 {
        match self {
            Self::First(client) => client.epoch(group).await.unwrap().0,
            Self::Second(client) => client.epoch(group),
        }
    }

    /// Who is in a group, each proven by its identity link.
    pub(crate) async fn members(&mut self, group: &GroupId) -> Vec<Seen> {
        match self {
            Self::First(client) => {
                let members = client.members(group).await.unwrap().into_iter();
                members.map(|it| Seen { leaf: it.leaf, user: it.user.unwrap(), is_admin: it.admin }).collect()
            }
            Self::Second(client) => {
                let seen = |Known { leaf, user, is_admin, .. }| Seen { leaf, user, is_admin };
                client.members(group).await.into_iter().map(seen).collect()
            }
        }
    }
}

/// Syncs until an event is one that is wanted.
pub(crate) async fn until<T>(client: &Client, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
    for _ in 0..20 {
        for event in client.sync(PATIENCE).await.unwrap() {
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }
    panic!("it did not happen");
}

fn text(heard: Heard) -> Option<(LeafIndex, String)> {
    match heard {
        Heard::Text(_, leaf, text) => Some((leaf, text)),
        _ => None,
    }
}

pub(crate) const ALPHA: &str = "alpha.test";
pub(crate) const BETA: &str = "beta.test";
/// How long it is waited for more, in virtual time.
const PATIENCE: Duration = Duration::from_secs(5);
