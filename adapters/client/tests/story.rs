//! The client against real homeservers, in process.

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

use std::time::Duration;

use phoenix_client::{Client, Event};
use phoenix_core::{Epoch, UserId};

use support::{befriend, connected, group_of, joined, offer, play, text, until};

#[test]
fn two_users_of_one_homeserver_connect_and_write_to_each_other() {
    play(&["alpha.test"], async |world| {
        let (alice, bob) = (world.user("alpha.test").await, world.user("alpha.test").await);

        befriend(&alice, &bob).await;
        let group = alice.create_group().await.expect("created");
        alice.invite(&group, &[bob.user().clone()]).await.expect("invited");
        alice.send(&group, "hello").await.expect("sent");
        let text = until(&bob, text).await;

        assert_eq!(text, "hello");
        bob.send(&group, "hello yourself").await.expect("sent");
        assert_eq!(until(&alice, self::text).await, "hello yourself");
        let numbers = (alice.safety_number(bob.user()).await, bob.safety_number(alice.user()).await);
        assert_eq!(numbers.0.expect("connected"), numbers.1.expect("connected"));
    });
}

#[test]
fn users_of_two_homeservers_share_a_group_and_read_everything_once_and_in_order() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b, c) =
            (world.user("alpha.test").await, world.user("beta.test").await, world.user("beta.test").await);
        c.register_alias("Carol").await.expect("registered");
        befriend(&a, &b).await;
        befriend_alias(&a, &c, "carol").await;
        let group = a.create_group().await.expect("created");
        a.invite(&group, &[b.user().clone(), c.user().clone()]).await.expect("invited");
        for client in [&b, &c] {
            let by = until(client, joined).await;
            assert_eq!(by, *a.user());
        }

        for number in 0..5 {
            for client in [&a, &b, &c] {
                client.send(&group, number.to_string()).await.expect("sent");
            }
        }

        for client in [&a, &b, &c] {
            let messages = collect(client, 10).await;
            for other in [&a, &b, &c].into_iter().filter(|other| other.user() != client.user()) {
                let texts: Vec<_> =
                    messages.iter().filter(|(from, _)| from == other.user()).map(|it| &it.1).collect();
                assert_eq!(texts, ["0", "1", "2", "3", "4"]);
            }
            assert_eq!(client.members(&group).await.expect("members").len(), 3);
        }
    });
}

#[test]
fn of_many_commits_for_one_epoch_one_wins_and_all_succeed_later() {
    play(&["alpha.test", "beta.test"], async |world| {
        let mut clients = Vec::new();
        for number in 0..6 {
            clients.push(world.user(if number % 2 == 0 { "alpha.test" } else { "beta.test" }).await);
        }
        let (first, others) = clients.split_first().expect("six");
        for other in others {
            befriend(first, other).await;
        }
        let group = first.create_group().await.expect("created");
        let users: Vec<_> = others.iter().map(|client| client.user().clone()).collect();
        first.invite(&group, &users).await.expect("invited");
        for other in others {
            until(other, joined).await;
        }

        let updates = clients.iter().map(|client| client.update(&group));
        let outcomes = futures::future::join_all(updates).await;

        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        let last = Epoch(1 + 6);
        for client in &clients {
            while client.epoch(&group).await.expect("a group") < last {
                client.sync(Duration::from_secs(1)).await.expect("synced");
            }
        }
        first.send(&group, "all here?").await.expect("sent");
        for other in others {
            assert_eq!(until(other, text).await, "all here?");
            assert_eq!(other.epoch(&group).await, Ok(last));
        }
    });
}

#[test]
fn who_was_removed_can_neither_send_nor_read() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b, c) =
            (world.user("alpha.test").await, world.user("beta.test").await, world.user("beta.test").await);
        befriend(&a, &b).await;
        befriend(&a, &c).await;
        let group = a.create_group().await.expect("created");
        a.invite(&group, &[b.user().clone(), c.user().clone()]).await.expect("invited");
        until(&b, joined).await;
        until(&c, joined).await;

        a.remove(&group, &[b.user().clone()]).await.expect("removed");

        let refused = b.send(&group, "still here").await.expect_err("refused");
        assert!(refused.code().is_some(), "{refused:?}");
        a.send(&group, "among us").await.expect("sent");
        assert_eq!(until(&c, text).await, "among us");
        until(&b, |event| matches!(event, Event::Removed { .. }).then_some(())).await;
        assert!(b.send(&group, "again").await.is_err());
        let late = b.sync(Duration::from_secs(1)).await.expect("synced");
        assert!(late.iter().all(|event| text(event).is_none()), "{late:?}");
        let again = a.invite(&group, &[b.user().clone()]).await;
        assert_eq!(again, Ok(()));
        until(&b, joined).await;
        b.send(&group, "back").await.expect("sent");
        assert_eq!(until(&a, text).await, "back");
    });
}

#[test]
fn lost_answers_neither_lose_nor_double_anything() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        for name in ["create_group", "enqueue_offer", "issue_tokens"] {
            world.net.lose_answer(name);
        }
        a.connect(b.user()).await.expect("offered");
        let offer = until(&b, offer).await;
        world.net.lose_answer("join_connection_group");
        b.accept(offer).await.expect("accepted");
        until(&a, connected).await;
        let group = a.create_group().await.expect("created");
        for name in ["add_users", "get_add_packages"] {
            world.net.lose_answer(name);
        }
        a.invite(&group, &[b.user().clone()]).await.expect("invited");
        for name in ["welcome_info", "update_queue_config"] {
            world.net.lose_answer(name);
        }
        until(&b, joined).await;

        for (name, text) in [("send_message", "one"), ("update_client", "two"), ("dequeue", "three")] {
            world.net.lose_answer(name);
            b.update(&group).await.expect("updated");
            b.send(&group, text).await.expect("sent");
        }

        let texts: Vec<_> = collect(&a, 3).await.into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["one", "two", "three"]);
        a.send(&group, "done").await.expect("sent");
        assert_eq!(until(&b, text).await, "done");
        assert_eq!(a.epoch(&group).await, b.epoch(&group).await);
    });
}

#[test]
fn a_message_whose_answer_never_came_arrives_once_when_it_is_sent_again() {
    play(&["alpha.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("alpha.test").await);
        befriend(&a, &b).await;
        let group = group_of(&a, &b).await;

        world.net.cut("send_message", true);
        let lost = a.send(&group, "hello").await.expect_err("cut");
        world.net.cut("send_message", false);
        assert!(lost.is_transient(), "{lost:?}");
        a.send(&group, "hello").await.expect("sent");
        a.send(&group, "hello").await.expect("sent");

        let texts: Vec<_> = collect(&b, 2).await.into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["hello", "hello"]);
    });
}

#[test]
fn members_are_told_who_comes_and_who_goes() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b, c) =
            (world.user("alpha.test").await, world.user("beta.test").await, world.user("beta.test").await);
        befriend(&a, &b).await;
        befriend(&a, &c).await;
        let group = group_of(&a, &b).await;

        a.invite(&group, &[c.user().clone()]).await.expect("invited");
        let added = until(&b, |event| match event {
            Event::MemberAdded { user, .. } => Some(user.clone()),
            _ => None,
        });
        assert_eq!(added.await, *c.user());
        a.remove(&group, &[c.user().clone()]).await.expect("removed");

        let gone = until(&b, |event| match event {
            Event::MemberRemoved { user, .. } => Some(user.clone()),
            _ => None,
        });
        assert_eq!(gone.await, *c.user());
        let members = b.members(&group).await.expect("members");
        let admins: Vec<_> =
            members.iter().filter(|member| member.admin).map(|member| member.user.clone()).collect();
        assert_eq!((members.len(), admins), (2, vec![Some(a.user().clone())]));
    });
}

async fn befriend_alias(one: &Client, other: &Client, alias: &str) {
    let group = one.connect_alias(alias, &other.user().domain).await.expect("offered");
    let offer = until(other, offer).await;
    other.accept(offer).await.expect("accepted");
    let answered = until(one, |event| match event {
        Event::AliasAnswered { group, user } => Some((group.clone(), user.clone())),
        _ => None,
    });
    assert_eq!(answered.await, (group.clone(), other.user().clone()));
    assert!(one.connections().await.iter().all(|user| user != other.user()));
    one.confirm(&group).await.expect("confirmed");
}

/// Syncs until so many messages came, and a little longer, so that one too many shows.
async fn collect(client: &Client, count: usize) -> Vec<(UserId, String)> {
    let mut messages = Vec::new();
    let mut rounds = 0;
    while messages.len() < count || rounds == 0 {
        assert!(rounds < 50, "only {} of {count} came", messages.len());
        let events = client.sync(Duration::from_secs(1)).await.expect("synced");
        messages.extend(events.into_iter().filter_map(|event| match event {
            Event::Message(it) => Some((it.sender, String::from_utf8_lossy(&it.text).into_owned())),
            other => {
                assert!(
                    !matches!(other, Event::Undecryptable { .. } | Event::Unverified { .. }),
                    "{other:?}"
                );
                None
            }
        }));
        rounds += 1;
    }
    let late = client.sync(Duration::ZERO).await.expect("synced");
    assert!(late.iter().all(|event| text(event).is_none()), "{late:?}");
    assert_eq!(messages.len(), count);
    messages
}
