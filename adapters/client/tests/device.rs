//! One device: what it keeps, what it holds its keys in, whom it lets in.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod support;

use std::sync::Arc;

use phoenix_client::{Acknowledge, Client, ClientError, Event, Settings};
use phoenix_core::{
    crypto::{AtRestKey, Chance, SigningKey, Suite},
    store::MemoryStore,
    wire::Secret,
};

use support::{befriend, group_of, play, text, until};

#[test]
fn a_client_goes_on_from_what_it_saved() {
    play(&["alpha.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("alpha.test").await);
        befriend(&a, &b).await;
        let group = group_of(&a, &b).await;
        let (store, key) = (MemoryStore::new(), AtRestKey::new(Secret::new([7; 32])));
        b.save(&store, b"bob", &key).await.expect("saved");
        drop(b);
        a.send(&group, "while you slept").await.expect("sent");

        let habits = support::settings("alpha.test").habits;
        let other = AtRestKey::new(Secret::new([8; 32]));
        assert!(Client::load((&store, b"bob"), &other, world.ports(), habits, None).await.is_err());
        let loaded = Client::load((&store, b"bob"), &key, world.ports(), habits, None).await.expect("loaded");
        let b = loaded.expect("there");

        assert_eq!(until(&b, text).await, "while you slept");
        b.send(&group, "awake").await.expect("sent");
        assert_eq!(until(&a, text).await, "awake");
    });
}

#[test]
fn who_joins_by_a_last_resort_package_takes_another_leaf_before_writing() {
    play(&["alpha.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("alpha.test").await);
        befriend(&a, &b).await;
        let mut groups = Vec::new();
        for _ in 0..8 {
            let group = group_of(&a, &b).await;
            groups.push(group);
        }

        for group in &groups {
            b.send(group, "hello").await.expect("sent");
            assert_eq!(until(&a, text).await, "hello");
            let members = a.members(group).await.expect("members");
            assert!(members.iter().any(|member| member.user.as_ref() == Some(b.user())), "{members:?}");
        }
    });
}

#[test]
fn keys_may_be_of_the_suite_that_hardware_holds() {
    play(&["alpha.test"], async |world| {
        let signer = Arc::new(SigningKey::generate(Suite::P256, &mut Chance::from_seed([9; 32])));
        let settings =
            Settings { suite: Suite::P256, signer: Some(signer), ..support::settings("alpha.test") };
        let a = Client::register(settings, world.ports()).await.expect("registered");
        a.set_up().await.expect("set up");
        let settings = Settings { suite: Suite::P256, ..support::settings("alpha.test") };
        let b = Client::register(settings, world.ports()).await.expect("registered");
        b.set_up().await.expect("set up");
        befriend(&a, &b).await;
        let group = group_of(&a, &b).await;

        b.send(&group, "hello").await.expect("sent");

        assert_eq!(until(&a, text).await, "hello");
        let key = AtRestKey::new(Secret::new([7; 32]));
        let saved = a.export(&key).await;
        let habits = support::settings("alpha.test").habits;
        assert!(
            Client::import(&saved, &key, world.ports(), habits, None).is_err(),
            "its key lives elsewhere"
        );
    });
}

#[test]
fn an_invitation_from_someone_who_is_no_connection_is_refused() {
    play(&["alpha.test"], async |world| {
        let a = world.user("alpha.test").await;
        let mut settings = support::settings("alpha.test");
        settings.habits.acknowledge = Acknowledge::Saved;
        let habits = settings.habits;
        let b = Client::register(settings, world.ports()).await.expect("registered");
        b.set_up().await.expect("set up");
        let key = AtRestKey::new(Secret::new([7; 32]));
        let stranger = b.export(&key).await;
        befriend(&a, &b).await;
        let group = a.create_group().await.expect("created");
        a.invite(&group, &[b.user().clone()]).await.expect("invited");

        let b = Client::import(&stranger, &key, world.ports(), habits, None).expect("imported");

        until(&b, |event| matches!(event, Event::InvitationRefused).then_some(())).await;
        assert!(!b.groups().await.contains(&group));
    });
}

#[test]
fn who_is_no_connection_cannot_be_invited() {
    play(&["alpha.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("alpha.test").await);
        let group = a.create_group().await.expect("created");

        let refused = a.invite(&group, &[b.user().clone()]).await;

        assert_eq!(refused, Err(ClientError::State("not connected")));
    });
}
