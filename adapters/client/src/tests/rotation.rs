//! Other keys at the queuing service, and the end of queue configs.

use std::time::Duration;

use phoenix_core::{ErrorCode, GroupId, crypto::AtRestKey, wire::Secret};

use super::support::{self, World, befriend, group_of, joined, play, text, until};
use crate::{Client, Pace};

#[test]
fn a_rotated_client_key_replaces_all_configs_at_once_and_the_former_one_is_refused() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b, group) = pair(&world).await;
        let former = copy(&world, &b).await;
        let config = b.lock().await.group(&group).expect("a group").config;

        b.rotate_client_key(Pace::AtOnce).await.expect("rotated");

        // What it had to tell before comes first.
        let _ = former.sync(Duration::ZERO).await;
        let refused = former.sync(Duration::ZERO).await.expect_err("refused");
        assert_eq!(refused.code(), Some(ErrorCode::Unauthenticated));
        assert_eq!(generations(&b).await, (1, 1));
        assert_ne!(b.lock().await.group(&group).expect("a group").config, config);
        a.send(&group, "still here?").await.expect("sent");
        assert_eq!(until(&b, text).await, "still here?");
        // By a package of the new generation.
        let second = a.create_group().await.expect("created");
        a.invite(&second, &[b.user().clone()]).await.expect("invited");
        assert_eq!(until(&b, joined).await, *a.user());
        b.send(&second, "yes").await.expect("sent");
        assert_eq!(until(&a, text).await, "yes");
    });
}

#[test]
fn a_key_that_is_rotated_gradually_leaves_the_configs_until_all_are_replaced_and_eight_days_are_over() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b, group) = pair(&world).await;

        b.rotate_client_key(Pace::Gradual).await.expect("rotated");

        a.send(&group, "by the former config").await.expect("sent");
        assert_eq!(until(&b, text).await, "by the former config");
        let groups = b.groups().await.len();
        for _ in 0..groups {
            assert_eq!(generations(&b).await, (1, 0));
            b.maintain().await.expect("maintained");
        }
        a.send(&group, "by the next").await.expect("sent");
        assert_eq!(until(&b, text).await, "by the next");
        world.clock.forward(9).await;
        b.maintain().await.expect("maintained");
        assert_eq!(generations(&b).await, (1, 1));
        a.send(&group, "as ever").await.expect("sent");
        assert_eq!(until(&b, text).await, "as ever");
    });
}

#[test]
fn configs_are_taken_back_without_another_key_and_again() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b, group) = pair(&world).await;
        for generation in 1..3 {
            b.replace_configs(Pace::AtOnce).await.expect("replaced");

            assert_eq!(generations(&b).await, (generation, generation));
            a.send(&group, "hello").await.expect("sent");
            assert_eq!(until(&b, text).await, "hello");
        }
    });
}

#[test]
fn a_rotation_whose_answer_is_lost_is_finished_when_it_is_repeated() {
    play(&["alpha.test"], async |world| {
        let mut settings = support::settings("alpha.test");
        settings.habits.tries = 1;
        let b = Client::register(settings, world.ports()).await.expect("registered");
        b.set_up().await.expect("set up");
        world.net.lose_answer("update_client");
        b.rotate_client_key(Pace::AtOnce).await.expect_err("lost");
        b.rotate_client_key(Pace::AtOnce).await.expect("rotated");
        world.net.lose_answer("update_user");
        b.rotate_user_key().await.expect_err("lost");
        b.rotate_user_key().await.expect("rotated");

        assert_eq!(generations(&b).await, (1, 1));
        assert_keys_fit(&b).await;
    });
}

#[test]
fn a_rotated_user_key_keeps_the_friends_and_the_former_one_is_refused() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b, _) = pair(&world).await;
        let former = copy(&world, &b).await;

        b.rotate_user_key().await.expect("rotated");

        let refused = former.queue_record().await.expect_err("refused");
        assert_eq!(refused.code(), Some(ErrorCode::Unauthenticated));
        assert_keys_fit(&b).await;
        let group = a.create_group().await.expect("created");
        a.invite(&group, &[b.user().clone()]).await.expect("invited");
        assert_eq!(until(&b, joined).await, *a.user());
    });
}

/// The generation of the configs that a client makes, and the lowest that its QS takes.
async fn generations(client: &Client) -> (u32, u32) {
    let record = client.queue_record().await.expect("read");
    let session = client.lock().await;
    let ours = session.record().expect("set up");
    assert_eq!(ours.min_generation, record.clients[0].min_generation);
    (ours.generation, record.clients[0].min_generation)
}

async fn assert_keys_fit(client: &Client) {
    let record = client.queue_record().await.expect("read");
    let session = client.lock().await;
    let ours = session.record().expect("set up");
    assert_eq!(record.auth_key, ours.user_key.verifying_key());
    assert_eq!(record.clients[0].auth_key, ours.client_key.verifying_key());
    assert!(ours.next_key.is_none() && ours.next_user_key.is_none());
}

/// Whoever got hold of a client's state.
async fn copy(world: &World, client: &Client) -> Client {
    let key = AtRestKey::new(Secret::new([7; 32]));
    let saved = client.export(&key).await;
    let habits = support::settings("alpha.test").habits;
    Client::import(&saved, &key, world.ports(), habits, None).expect("imported")
}

async fn pair(world: &World) -> (Client, Client, GroupId) {
    let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
    befriend(&a, &b).await;
    let group = group_of(&a, &b).await;
    b.update(&group).await.expect("updated");
    (a, b, group)
}
