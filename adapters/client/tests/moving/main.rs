//! A user's queue moves to another homeserver, and its owner stays in all groups (08, "User lifecycle").

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod leaving;
#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_client::{Acknowledge, Client, Event, Pace};
use phoenix_core::{
    ErrorCode, ErrorReply, Fqdn, GroupId,
    api::ServiceName,
    costs::Costs,
    crypto::AtRestKey,
    port::{Circuit, Outgoing, Transport, TransportError},
    token::Class,
    wire::{Secret, Wire},
};
use phoenix_homeserver::Builder;

use support::{Net, befriend, group_of, joined, play_with, text, texts, until};

#[test]
fn a_queue_moves_and_its_owner_reads_everything_once_and_in_order() {
    play_with(&HOMES, guests, async |world| {
        // given a member of groups at two homeservers
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        befriend(&a, &b).await;
        let groups = [group_of(&a, &b).await, group_of(&b, &a).await];
        b.update(&groups[0]).await.expect("updated");
        let mut sent = 0;
        say(&b, &groups, &mut sent).await;

        // when its queue moves while others write and commit
        a.move_queue(&gamma(), Pace::AtOnce).await.expect("moved");
        say(&b, &groups, &mut sent).await;
        b.update(&groups[1]).await.expect("updated");
        say(&b, &groups, &mut sent).await;
        let came = texts(&a, sent).await;

        // then nothing is lost, nothing comes twice, and each group's order is kept
        check_order(&came, sent);
        until_moved(&a).await;
        a.send(&groups[0], "still here").await.expect("sent");
        assert_eq!(until(&b, text).await, "still here");
        // and friends find its packages where it is now
        let third = b.create_group().await.expect("created");
        b.invite(&third, &[a.user().clone()]).await.expect("invited");
        until(&a, joined).await;
        b.send(&third, "welcome").await.expect("sent");
        assert_eq!(until(&a, text).await, "welcome");
    });
}

#[test]
fn a_queue_that_moves_slowly_moves_group_by_group_and_can_move_back() {
    play_with(&HOMES, guests, async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        befriend(&a, &b).await;
        let groups = [group_of(&a, &b).await, group_of(&b, &a).await];
        let mut sent = 0;

        a.move_queue(&gamma(), Pace::Gradual).await.expect("begun");
        for _ in 0..3 {
            say(&b, &groups, &mut sent).await;
            a.maintain().await.expect("maintained");
            say(&b, &groups, &mut sent).await;
        }
        // Back again, before it was over.
        a.move_queue(&a.user().domain.clone(), Pace::AtOnce).await.expect("moved");
        say(&b, &groups, &mut sent).await;
        let came = texts(&a, sent).await;

        check_order(&came, sent);
        assert_eq!(a.queues().await.last(), Some(&a.user().domain));
        // What invitations may come by stays for eight days.
        assert!(a.queues().await.len() > 1);
        world.clock.forward(9).await;
        until_moved(&a).await;
    });
}

#[test]
fn what_is_on_its_way_to_the_former_queue_is_not_overtaken() {
    play_with(&HOMES, guests, async |world| {
        // given a message that cannot reach the former queue
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        befriend(&a, &b).await;
        let groups = [group_of(&b, &a).await];
        fetch_ahead(&a).await;
        let alpha = world.net.take_away("alpha.test");
        let mut sent = 0;
        say(&b, &groups, &mut sent).await;

        // when the queue moves, and the next message comes by the new one
        let _ = a.move_queue(&gamma(), Pace::AtOnce).await;
        say(&b, &groups, &mut sent).await;
        assert_eq!(a.queues().await.last(), Some(&gamma()));
        let early = a.sync(Duration::from_secs(1)).await.unwrap_or_default();

        // then that waits for the former
        assert_eq!(early.iter().filter_map(text).next(), None);
        world.net.add(alpha);
        check_order(&texts_in_spite(&a, sent).await, sent);
        until_moved(&a).await;
    });
}

#[test]
fn a_former_queue_that_stays_away_is_waited_for_an_hour() {
    play_with(&HOMES, guests, async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        befriend(&a, &b).await;
        let groups = [group_of(&b, &a).await];
        fetch_ahead(&a).await;
        world.net.take_away("alpha.test");
        let _ = a.move_queue(&gamma(), Pace::AtOnce).await;
        let mut sent = 0;
        say(&b, &groups, &mut sent).await;
        let early = a.sync(Duration::from_secs(1)).await.unwrap_or_default();
        assert_eq!(early.iter().filter_map(text).next(), None);

        world.clock.pass(3_601).await;

        check_order(&texts_in_spite(&a, sent).await, sent);
    });
}

#[test]
fn a_homeserver_that_has_no_room_for_guests_refuses_and_nothing_changes() {
    play_with(
        &HOMES,
        |builder| builder,
        async |world| {
            let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
            befriend(&a, &b).await;
            let groups = [group_of(&b, &a).await];

            let refused = a.move_queue(&gamma(), Pace::AtOnce).await;

            assert_eq!(refused.expect_err("refused").code(), Some(ErrorCode::TokenRequired));
            assert_eq!(a.queues().await, [a.user().domain.clone()]);
            let mut sent = 0;
            say(&b, &groups, &mut sent).await;
            check_order(&texts(&a, sent).await, sent);
        },
    );
}

#[test]
fn a_homeserver_that_fails_in_the_middle_loses_nothing() {
    // `create_user` is carried out and not answered; or nothing more is, after it.
    for failing in ["create_user", "publish_add_packages", "dequeue"] {
        play_with(&HOMES, guests, async |world| {
            let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
            befriend(&a, &b).await;
            let groups = [group_of(&a, &b).await, group_of(&b, &a).await];
            let mut sent = 0;
            world.net.cut(failing, true);

            let moved = a.move_queue(&gamma(), Pace::AtOnce).await;
            say(&b, &groups, &mut sent).await;
            assert!(moved.is_ok() == (failing == "dequeue"), "{failing}: {moved:?}");
            world.net.cut(failing, false);
            say(&b, &groups, &mut sent).await;
            a.move_queue(&gamma(), Pace::AtOnce).await.expect("moved");
            say(&b, &groups, &mut sent).await;

            check_order(&texts_in_spite(&a, sent).await, sent);
            until_moved(&a).await;
        });
    }
}

#[test]
fn lost_answers_of_a_move_are_found_out() {
    for lost in
        ["create_user", "publish_add_packages", "update_queue_config", "update_client", "delete_client"]
    {
        play_with(&HOMES, guests, async |world| {
            let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
            befriend(&a, &b).await;
            let groups = [group_of(&a, &b).await, group_of(&b, &a).await];
            let mut sent = 0;
            say(&b, &groups, &mut sent).await;
            world.net.lose_answer(lost);

            a.move_queue(&gamma(), Pace::AtOnce).await.expect("moved");
            say(&b, &groups, &mut sent).await;

            check_order(&texts(&a, sent).await, sent);
            until_moved(&a).await;
        });
    }
}

#[test]
fn an_end_that_comes_after_a_further_move_does_not_stand_for_what_was_asked_last() {
    play_with(&HOMES, guests, async |world| {
        // given a move of which a DS heard, whose answer was lost, and whose end is on its way
        let mut settings = support::settings("alpha.test");
        settings.habits.tries = 1;
        let a = Client::register(settings, world.ports()).await.expect("registered");
        a.set_up().await.expect("set up");
        let b = world.user("beta.test").await;
        befriend(&a, &b).await;
        let groups = [group_of(&b, &a).await];
        world.net.sever("alpha.test", "federated_enqueue", true);
        world.net.cut("update_queue_config", true);
        a.move_queue(&gamma(), Pace::AtOnce).await.expect_err("not answered");
        world.net.cut("update_queue_config", false);
        let mut sent = 0;
        say(&b, &groups, &mut sent).await;

        // when the queue moves again, of which the DS does not hear, and the end comes
        world.net.sever("beta.test", "update_queue_config", true);
        a.move_queue(&a.user().domain.clone(), Pace::AtOnce).await.expect_err("not heard");
        world.net.sever("alpha.test", "federated_enqueue", false);
        world.clock.pass(3_600).await;
        let mut came = Vec::new();
        for _ in 0..5 {
            let synced = a.sync(Duration::from_secs(1)).await.unwrap_or_default();
            came.extend(synced.iter().filter_map(text));
        }

        // then the queue in between is not left before the DS has left it
        assert!(a.queues().await.contains(&gamma()));
        say(&b, &groups, &mut sent).await;
        world.net.sever("beta.test", "update_queue_config", false);
        world.clock.pass(3_600).await;
        say(&b, &groups, &mut sent).await;
        let left = sent - came.len();
        came.extend(texts_in_spite(&a, left).await);
        check_order(&came, sent);
        until_moved(&a).await;
    });
}

#[test]
fn nobody_hears_of_a_queue_that_a_saved_state_does_not_know() {
    play_with(&HOMES, guests, async |world| {
        // given a client that saves, and whose state is of before the move
        let mut settings = support::settings("alpha.test");
        settings.habits.acknowledge = Acknowledge::Saved;
        let habits = settings.habits;
        let a = Client::register(settings, world.ports()).await.expect("registered");
        a.set_up().await.expect("set up");
        let b = world.user("beta.test").await;
        befriend(&a, &b).await;
        let groups = [group_of(&a, &b).await, group_of(&b, &a).await];
        let key = AtRestKey::new(Secret::new([7; 32]));
        let before = a.export(&key).await;
        a.confirm_export().await;
        let mut sent = 0;

        // when it crashes after the move
        a.move_queue(&gamma(), Pace::AtOnce).await.expect("begun");
        say(&b, &groups, &mut sent).await;
        drop(a);
        let a = Client::import(&before, &key, world.ports(), habits, None).expect("imported");
        say(&b, &groups, &mut sent).await;

        // then it goes on where it was, and may move again
        check_order(&texts(&a, sent).await, sent);
        a.move_queue(&gamma(), Pace::AtOnce).await.expect("begun");
        // What was handed out would be handed out again.
        a.sync(Duration::ZERO).await.expect("synced");
        let after = a.export(&key).await;
        a.confirm_export().await;
        drop(a);
        // and a state that knows the queue goes on with the move
        let a = Client::import(&after, &key, world.ports(), habits, None).expect("imported");
        let mut sent = 0;
        say(&b, &groups, &mut sent).await;
        check_order(&texts(&a, sent).await, sent);
        for _ in 0..10 {
            a.export(&key).await;
            a.confirm_export().await;
            if a.queues().await.len() > 1 {
                a.sync(Duration::from_secs(1)).await.expect("synced");
            }
        }
        assert_eq!(a.queues().await, [gamma()]);
    });
}

#[test]
fn a_queue_elsewhere_does_not_tell_whose_it_is() {
    play_with(&HOMES, guests, async |world| {
        let watch = Watch { net: world.net.clone(), seen: Arc::default() };
        let (a, b) = (
            world.user_with("alpha.test", world.ports_over(watch.clone())).await,
            world.user("beta.test").await,
        );
        befriend(&a, &b).await;
        let group = group_of(&b, &a).await;
        fetch_ahead(&a).await;

        a.move_queue(&gamma(), Pace::AtOnce).await.expect("moved");
        b.send(&group, "hello").await.expect("sent");
        assert_eq!(until(&a, text).await, "hello");
        until_moved(&a).await;

        // What the QS there gets names neither the user nor its homeserver, and comes on no circuit that the AS there knows.
        let seen = watch.seen.lock().expect("no panic before");
        let (queuing, other): (Vec<_>, Vec<_>) =
            seen.iter().filter(|it| it.to == gamma()).partition(|it| it.service == ServiceName::Qs);
        assert!(queuing.len() > 3 && !other.is_empty());
        let (uuid, domain) = (a.user().uuid.0, a.user().domain.as_str().as_bytes());
        for call in &queuing {
            let has = |wanted: &[u8]| call.bytes.windows(wanted.len()).any(|it| it == wanted);
            assert!(!has(&uuid) && !has(domain), "{}", call.name);
        }
        let circuits = |calls: &[&Seen]| calls.iter().map(|it| it.circuit.0).collect::<BTreeSet<_>>();
        assert!(circuits(&queuing).is_disjoint(&circuits(&other)));
    });
}

const HOMES: [&str; 3] = ["alpha.test", "beta.test", "gamma.test"];

fn gamma() -> Fqdn {
    "gamma.test".parse().expect("domain")
}

fn guests(builder: Builder) -> Builder {
    builder.costs(Costs::default().with_guests(Class::Contact))
}

/// Takes tokens of the homeserver that the queue moves to, some time before.
async fn fetch_ahead(client: &Client) {
    for class in [Class::Contact, Class::Standard] {
        client.fetch_tokens(&gamma(), class).await.expect("tokens");
    }
}

/// Says the next number in each group.
async fn say(by: &Client, groups: &[GroupId], sent: &mut usize) {
    for (place, group) in groups.iter().enumerate() {
        by.send(group, format!("{place}:{sent}")).await.expect("sent");
        *sent += 1;
    }
}

/// Each number came once, and those of one group in their order.
fn check_order(came: &[String], sent: usize) {
    assert_eq!(came.len(), sent, "{came:?}");
    for place in 0..2 {
        let prefix = format!("{place}:");
        let numbers =
            came.iter().filter_map(|it| it.strip_prefix(&prefix)).map(|it| it.parse().expect("a number"));
        let numbers: Vec<usize> = numbers.collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{came:?}");
    }
}

/// Syncs until so many messages came, though a homeserver does not answer.
async fn texts_in_spite(client: &Client, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..40 {
        match client.sync(Duration::from_secs(2)).await {
            Err(error) if error.is_transient() => {}
            synced => texts.extend(synced.expect("synced").iter().filter_map(text)),
        }
        if texts.len() >= count {
            return texts;
        }
    }
    panic!("only {texts:?} came");
}

/// Syncs until only one queue is left.
async fn until_moved(client: &Client) {
    for _ in 0..20 {
        if client.queues().await.len() == 1 {
            return;
        }
        let _: Vec<Event> = client.sync(Duration::from_secs(1)).await.unwrap_or_default();
    }
    panic!("still at {:?}", client.queues().await);
}

/// A way to homeservers that shows what goes there.
#[derive(Clone)]
struct Watch {
    net: Net,
    seen: Arc<Mutex<Vec<Seen>>>,
}

struct Seen {
    to: Fqdn,
    service: ServiceName,
    name: &'static str,
    circuit: Circuit,
    bytes: Bytes,
}

#[async_trait]
impl Transport for Watch {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        let Outgoing { service, name, circuit, .. } = outgoing;
        let seen = Seen { to: to.clone(), service, name, circuit, bytes: outgoing.call.encode() };
        self.seen.lock().expect("no panic before").push(seen);
        self.net.send(to, outgoing).await
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.net.fetch(from, service).await
    }
}
