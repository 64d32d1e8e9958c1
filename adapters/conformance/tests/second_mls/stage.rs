//! Where the stories take place.

use std::{sync::Arc, time::Duration};

use phoenix_client::{Client, Event, OfferId, Settings};
use phoenix_core::{GroupId, UserId, crypto::Suite};

use crate::{
    second_client::{Heard, SecondClient},
    site::{Site, fqdn, password},
};

/// Two homeservers, and who is to come.
pub(crate) struct Stage {
    site: Site,
    suite: Suite,
}

/// Tells a story once in each suite: of all keys, and of the groups.
pub(crate) fn in_both_suites(story: impl Fn(Stage)) {
    for suite in [Suite::Ed25519, Suite::P256] {
        println!("in suite {suite:?}");
        story(Stage { site: Site::new(&[ALPHA, BETA], 1), suite });
    }
}

impl Stage {
    /// A user of the reference client, on OpenMLS.
    pub(crate) fn first(&mut self, name: &str, domain: &str) -> Arc<Client> {
        self.site.register_with(Settings::new(fqdn(domain), password(name)), self.suite).client
    }

    /// A user of the second client, on mls-rs.
    pub(crate) fn second(&mut self, name: &str, domain: &str) -> SecondClient {
        SecondClient::register(&mut self.site, name, domain, self.suite)
    }

    /// Plays until this is done.
    pub(crate) fn play<T: Send + 'static>(&mut self, story: impl Future<Output = T> + Send + 'static) -> T {
        self.site.run(story)
    }
}

/// Lets two users of different clients connect: the second offers.
pub(crate) async fn befriend(second: &mut SecondClient, first: &Client) -> GroupId {
    let group = second.connect(first.user()).await.unwrap();
    first.accept(offered(first).await).await.unwrap();
    assert!(second.read().await.iter().any(|it| matches!(it, Heard::Commit(of, _) if *of == group)));
    group
}

/// Lets two users of the reference client connect: one offers.
pub(crate) async fn connect(one: &Client, other: &Client) {
    one.connect(other.user()).await.unwrap();
    other.accept(offered(other).await).await.unwrap();
    until(one, |event| matches!(event, Event::Connected { user, .. } if user == other.user()).then_some(()))
        .await;
}

async fn offered(client: &Client) -> OfferId {
    until(client, |event| match event {
        Event::Offer { offer, .. } => Some(*offer),
        _ => None,
    })
    .await
}

/// Syncs until an event is one that is wanted.
pub(crate) async fn until<T>(client: &Client, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
    for _ in 0..20 {
        for event in client.sync(Duration::from_secs(5)).await.unwrap() {
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }
    panic!("it did not happen");
}

/// Who added the first client to a group, once it has joined.
pub(crate) async fn joined(client: &Client, group: &GroupId) -> UserId {
    until(client, |event| match event {
        Event::Joined { group: joined, by } if joined == group => Some(by.clone()),
        _ => None,
    })
    .await
}

/// Waits until the first client was told that it is no member any more.
pub(crate) async fn removed(client: &Client, group: &GroupId) {
    until(client, |event| matches!(event, Event::Removed { group: it } if it == group).then_some(())).await;
}

/// The next text that the first client reads, and who wrote it.
pub(crate) async fn next_text(client: &Client) -> (UserId, String) {
    until(client, |event| match event {
        Event::Message(message) => {
            Some((message.sender.clone(), String::from_utf8_lossy(&message.text).into_owned()))
        }
        _ => None,
    })
    .await
}

/// The texts among what the second client read.
pub(crate) fn texts(heard: &[Heard]) -> Vec<&str> {
    heard.iter().filter_map(text).collect()
}

fn text(heard: &Heard) -> Option<&str> {
    match heard {
        Heard::Text(_, _, text) => Some(text),
        _ => None,
    }
}

/// Checks that both are in the same epoch, name the same members, and read what the other writes.
pub(crate) async fn assert_in_step(group: &GroupId, second: &mut SecondClient, first: &Client) {
    second.read().await;
    while !first.sync(Duration::ZERO).await.unwrap().is_empty() {}
    assert_eq!(first.epoch(group).await.unwrap().0, second.epoch(group));
    let seen = first.members(group).await.unwrap();
    let seen: Vec<_> = seen.into_iter().map(|it| (it.leaf, it.user.unwrap())).collect();
    assert_eq!(seen, second.members(group).await);
    first.send(group, "from OpenMLS").await.unwrap();
    assert_eq!(texts(&second.read().await), ["from OpenMLS"]);
    second.send(group, "from mls-rs").await.unwrap();
    assert_eq!(next_text(first).await, (second.user().clone(), "from mls-rs".to_owned()));
}

pub(crate) const ALPHA: &str = "alpha.test";
pub(crate) const BETA: &str = "beta.test";
