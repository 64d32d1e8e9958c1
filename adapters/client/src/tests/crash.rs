//! A client that ended between something that it did and saving it goes on from the state of before.

use std::time::Duration;

use phoenix_core::{GroupId, crypto::AtRestKey, wire::Secret};

use super::{
    scene::resynced,
    support::{self, World, befriend, group_of, joined, play, text, until},
};
use crate::{Acknowledge, Client, Event, Pace, group::Health};

#[test]
fn who_goes_on_from_before_its_commit_comes_back_by_itself() {
    play(&["alpha.test"], async |world| {
        let (a, b) = pair(&world).await;
        let group = group_of(&a, &b).await;
        b.update(&group).await.expect("a leaf of its own");
        let saved = save(&b).await;

        b.update(&group).await.expect("updated");
        let b = restore(&world, &saved);

        assert_is_back(&a, &b, &group).await;
    });
}

#[test]
fn an_admin_who_goes_on_from_before_its_invitation_finds_who_has_come() {
    play(&["alpha.test"], async |world| {
        let (a, b) = pair(&world).await;
        let c = world.user("alpha.test").await;
        befriend(&a, &c).await;
        let group = group_of(&a, &b).await;
        let saved = save(&a).await;

        a.invite(&group, &[c.user().clone()]).await.expect("invited");
        until(&c, joined).await;
        let a = restore(&world, &saved);

        assert_is_back(&b, &a, &group).await;
        assert_eq!(a.members(&group).await.expect("members").len(), 3);
        a.send(&group, "welcome").await.expect("sent");
        assert_eq!(until(&c, text_of("welcome")).await, "welcome");
        a.remove(&group, &[c.user().clone()]).await.expect("removed: it is admin still");
    });
}

#[test]
fn who_goes_on_from_before_it_took_another_leaf_is_known_by_that_leaf() {
    play(&["alpha.test"], async |world| {
        let (a, b) = pair(&world).await;
        // Until the last-resort package is taken: who joins by that takes another leaf and config by its first commit.
        let group = loop {
            let group = group_of(&a, &b).await;
            if b.lock().await.group(&group).expect("a group").is_leaf_shared.is_set() {
                break group;
            }
        };
        let saved = save(&b).await;
        let leaf = b.lock().await.own_leaf_key(&group).expect("a leaf");

        b.update(&group).await.expect("updated");
        assert_ne!(b.lock().await.own_leaf_key(&group).expect("a leaf"), leaf);
        let b = restore(&world, &saved);

        assert_is_back(&a, &b, &group).await;
        assert_ne!(b.lock().await.own_leaf_key(&group).expect("a leaf"), leaf);
        b.update(&group).await.expect("as ever");
        assert_eq!(a.members(&group).await.expect("members").len(), 2);
    });
}

#[test]
fn who_goes_on_from_before_its_leaf_was_renewed_is_known_by_that_leaf() {
    play(&["alpha.test"], async |world| {
        let (a, b) = pair(&world).await;
        let group = group_of(&a, &b).await;
        b.update(&group).await.expect("a leaf of its own");
        world.clock.forward(61).await;
        a.maintain().await.expect("maintained");
        b.maintain().await.expect("the credential is renewed, the leaves are made");
        world.clock.forward(8).await;
        let saved = save(&b).await;

        while b.lock().await.stale_groups().count() > 0 {
            b.maintain().await.expect("maintained");
        }
        let b = restore(&world, &saved);

        assert_is_back(&a, &b, &group).await;
    });
}

#[test]
fn who_goes_on_from_before_its_queue_began_again_lets_it_begin_again() {
    play(&["alpha.test"], async |world| {
        let (a, b) = pair(&world).await;
        let group = group_of(&a, &b).await;
        b.update(&group).await.expect("a leaf of its own");
        let saved = save(&b).await;

        b.restart_queue().await.expect("begun");
        b.update(&group).await.expect("updated");
        let b = restore(&world, &saved);
        for _ in 0..3 {
            b.sync(Duration::ZERO).await.expect("synced");
            world.clock.pass(60).await;
        }

        assert_is_back(&a, &b, &group).await;
    });
}

#[test]
fn who_goes_on_from_before_its_client_key_was_rotated_finds_the_key_that_was_prepared() {
    play(&["alpha.test"], async |world| {
        let (a, b) = pair(&world).await;
        let group = group_of(&a, &b).await;
        b.update(&group).await.expect("a leaf of its own");
        b.prepare_client_key().await.expect("prepared");
        let saved = save(&b).await;

        b.rotate_client_key(Pace::Gradual).await.expect("rotated");
        a.send(&group, "unread").await.expect("sent");
        let b = restore(&world, &saved);

        assert_eq!(until(&b, text).await, "unread");
        let record = b.queue_record().await.expect("read");
        let session = b.lock().await;
        let ours = session.record().expect("set up");
        assert_eq!(record.clients[0].auth_key, ours.client_key.verifying_key());
        assert!(ours.next_key.is_none());
    });
}

#[test]
fn who_goes_on_from_before_its_configs_were_taken_back_makes_none_of_the_former() {
    play(&["alpha.test"], async |world| {
        let (a, b) = pair(&world).await;
        let group = group_of(&a, &b).await;
        b.update(&group).await.expect("a leaf of its own");
        let saved = save(&b).await;

        b.replace_configs(Pace::AtOnce).await.expect("replaced");
        b.replace_configs(Pace::AtOnce).await.expect("replaced");
        let b = restore(&world, &saved);
        b.sync(Duration::ZERO).await.expect("synced");

        b.publish_add_packages().await.expect("taken");
        let other = group_of(&a, &b).await;
        for group in [&group, &other] {
            // The first of them gets a config that is good by and by.
            for _ in 0..b.groups().await.len() {
                b.maintain().await.expect("maintained");
            }
            a.send(group, "hello").await.expect("sent");
            assert_eq!(until(&b, text_of("hello")).await, "hello");
        }
    });
}

#[test]
fn who_goes_on_from_before_it_accepted_an_offer_cannot_accept_it_again_and_keeps_the_rest() {
    play(&["alpha.test"], async |world| {
        let (a, b) = pair(&world).await;
        let c = world.user("alpha.test").await;
        c.connect(b.user()).await.expect("offered");
        let offered = until(&b, support::offer).await;
        let saved = save(&b).await;

        b.accept(offered).await.expect("accepted");
        let b = restore(&world, &saved);

        let refused = b.accept(offered).await.expect_err("the code was used");
        assert!(!refused.is_transient(), "{refused:?}");
        assert_eq!(b.connections().await, [a.user().clone()]);
        let group = group_of(&a, &b).await;
        b.send(&group, "here").await.expect("sent");
        assert_eq!(until(&a, text_of("here")).await, "here");
    });
}

/// A client whose state was lost since has the group again by itself, and both read each other.
async fn assert_is_back(other: &Client, client: &Client, group: &GroupId) {
    other.sync(Duration::ZERO).await.expect("synced");
    until(client, resynced).await;
    // It may have come back into the connection's group first, and comes into this one by itself.
    client.sync(Duration::ZERO).await.expect("synced");
    until(other, |event| matches!(event, Event::EpochChanged { .. }).then_some(())).await;
    client.send(group, "back").await.expect("sent");
    assert_eq!(until(other, text_of("back")).await, "back");
    other.send(group, "good").await.expect("sent");
    assert_eq!(until(client, text_of("good")).await, "good");
    assert_eq!(client.lock().await.group(group).expect("a group").health, Health::Sound);
    assert_eq!(client.epoch_authenticator(group).await, other.epoch_authenticator(group).await);
}

fn text_of(wanted: &str) -> impl FnMut(&Event) -> Option<String> {
    let wanted = wanted.to_owned();
    move |event| text(event).filter(|text| *text == wanted)
}

async fn pair(world: &World) -> (Client, Client) {
    let mut saving = support::settings("alpha.test");
    saving.habits.acknowledge = Acknowledge::Saved;
    let mut users = Vec::new();
    for _ in 0..2 {
        let user = Client::register(saving.clone(), world.ports()).await.expect("registered");
        user.set_up().await.expect("set up");
        users.push(user);
    }
    let b = users.pop().expect("two");
    let a = users.pop().expect("two");
    befriend(&a, &b).await;
    (a, b)
}

async fn save(client: &Client) -> bytes::Bytes {
    let saved = client.export(&key()).await;
    client.confirm_export().await;
    saved
}

fn restore(world: &World, saved: &[u8]) -> Client {
    let mut habits = support::settings("alpha.test").habits;
    habits.acknowledge = Acknowledge::Saved;
    Client::import(saved, &key(), world.ports(), habits, None).expect("imported")
}

fn key() -> AtRestKey {
    AtRestKey::new(Secret::new([7; 32]))
}
