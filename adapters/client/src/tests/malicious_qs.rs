//! A QS that drops, reorders, replays, forges or never ends does not make a client accept what it should not, nor keep it
//! busy.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use phoenix_core::{
    ConfigId, UserId,
    api::queue::{AddPackages, Entry, EntryKind, EntryPayload, NotifyClass, QueueEntry, SealedEntry},
    port::Clock,
    wire::{List, Opaque, Wire},
};

use super::{
    between::Between,
    scene::{Scene, drain, health, pass, scene},
    support::{World, befriend, group_of, joined, play, text, texts, until},
};
use crate::{Client, ClientError, Event, group::Health};

#[test]
fn t11_entries_in_a_wrong_order_or_twice_are_read_once_and_in_theirs() {
    play(&["alpha.test"], async |world| {
        let Scene { a, b, group, between, mut queue, .. } = scene(&world).await;
        for number in 0..4 {
            a.send(&group, number.to_string()).await.expect("sent");
        }
        pass(&world, &b, &between, &mut queue, 4).await;
        between.rearrange(|entries| entries.reverse());

        let early = b.sync(Duration::ZERO).await.expect("synced");
        assert!(early.iter().all(|event| text(event).is_none()), "{early:?}");
        between.rearrange(|entries| {
            entries.reverse();
            let twice: Vec<_> = entries.iter().flat_map(|it| [it.clone(), it.clone()]).collect();
            *entries = twice;
        });

        world.clock.sleep_until(world.clock.now().plus_millis(1_000)).await;
        assert_eq!(texts(&b, 4).await, ["0", "1", "2", "3"]);
        let late = drain(&b).await;
        assert!(late.iter().all(|event| text(event).is_none()), "{late:?}");
    });
}

#[test]
fn t11_entries_that_were_dropped_are_told_and_a_group_that_went_on_is_come_back_into() {
    play(&["alpha.test"], async |world| {
        let Scene { a, b, group, between, mut queue, .. } = scene(&world).await;
        a.update(&group).await.expect("updated");
        queue.harvest(&b, &world, 1).await;
        // It begins the queue again behind what it dropped, as after a restore: with a gap, and nothing of the group.
        between.claim(Some(1 << 40), 0);

        let mut has_gap = false;
        until(&b, |event| {
            has_gap |= *event == Event::Gap;
            matches!(event, Event::Resynced { .. }).then_some(())
        })
        .await;

        assert!(has_gap);
        drain(&a).await;
        b.send(&group, "here again").await.expect("sent");
        assert_eq!(until(&a, text).await, "here again");
    });
}

#[test]
fn t11_gaps_that_are_none_cost_one_question_and_change_nothing() {
    play(&["alpha.test"], async |world| {
        let Scene { a, b, group, between, mut queue, .. } = scene(&world).await;
        let before = (b.epoch(&group).await, between.calls("external_commit_info"));

        for number in 1..30 {
            between.claim(Some((1 << 40) + number), 0);
            drain(&b).await;
        }

        // One for each group that Bob is in, and none again before a rest.
        let asked = between.calls("external_commit_info") - before.1;
        assert!((1..=8).contains(&asked), "{asked}");
        assert_eq!(between.calls("resync"), 0);
        assert_eq!((b.epoch(&group).await, health(&b, &group).await), (before.0, Health::Sound));
        a.send(&group, "all well").await.expect("sent");
        pass(&world, &b, &between, &mut queue, 1).await;
        assert_eq!(until(&b, text).await, "all well");
    });
}

#[test]
fn t20_a_queue_that_never_ends_ends_each_sync_after_so_many_pages() {
    play(&["alpha.test"], async |world| {
        let (b, between) = Between::user(&world, "alpha.test").await;
        drain(&b).await;
        between.take_over(&b).await;
        drain(&b).await;
        // Each page moves on, and says that more is behind it.
        let entry = Entry {
            kind: EntryKind::FanOut,
            config: ConfigId([7; 16]),
            notify: NotifyClass::Silent,
            accepted_at: 0,
            content: Opaque::new(vec![1; 64]).expect("short"),
        };
        (0..450).for_each(|_| between.push(&entry, world.clock.now()));
        between.claim(None, u32::MAX);
        let before = between.calls("dequeue");

        let events = b.sync(Duration::ZERO).await.expect("synced");

        assert_eq!(events, Vec::new());
        assert!(between.calls("dequeue") - before <= 101);
        assert!(b.lock().await.record().expect("set up").inbox.waiting.is_empty());
    });
}

#[test]
fn t20_garbage_in_a_queue_never_panics_and_is_not_read_again_and_again() {
    play(&["alpha.test"], async |world| {
        let Scene { b, between, .. } = scene(&world).await;
        between.rearrange(|entries| {
            let next = entries.last().map_or(0, |it| it.seq + 1);
            entries.extend([next, next + 1, u64::MAX].map(garbage));
        });
        let before = between.calls("dequeue");

        drain(&b).await;

        assert!(between.calls("dequeue") - before < 30);
        assert!(b.lock().await.record().expect("set up").inbox.waiting.is_empty());
    });
}

#[test]
fn t20_garbage_of_hours_costs_little_and_messages_flow_again_by_themselves() {
    play(&["alpha.test"], async |world| {
        let Scene { a, b, c, group, between, .. } = scene(&world).await;
        let before = (between.calls("dequeue"), between.restarts(), between.calls("resync"));
        between.rearrange(|entries| {
            let next = entries.last().map_or(0, |it| it.seq + 1);
            entries.extend((next..next + 300).map(garbage));
        });
        a.update(&group).await.expect("updated");
        a.send(&group, "unheard").await.expect("sent");

        for pause_s in [60, 60, 60, 60, 60, 3_600, 3_600] {
            for _ in 0..20 {
                b.sync(Duration::ZERO).await.expect("synced");
            }
            for other in [&a, &c] {
                other.sync(Duration::ZERO).await.expect("synced");
            }
            world.clock.pass(pause_s).await;
        }

        let restarts = between.restarts() - before.1;
        assert!((1..=7).contains(&restarts), "{restarts}");
        let reads = between.calls("dequeue") - before.0;
        assert!(reads < 60, "{reads}");
        assert!(between.calls("resync") - before.2 <= 2);
        assert!(b.lock().await.record().expect("set up").inbox.waiting.is_empty());

        // Nobody asks Bob's client for anything: it reads, as it always does.
        between.give_back();
        a.send(&group, "heard").await.expect("sent");
        assert_eq!(until(&b, text).await, "heard");
        b.send(&group, "thanks").await.expect("sent");
        for member in [&a, &c] {
            assert_eq!(until(member, text_by(b.user())).await, "thanks");
        }
        assert_eq!(health(&b, &group).await, Health::Sound);
        assert_eq!(a.epoch_authenticator(&group).await, b.epoch_authenticator(&group).await);
    });
}

#[test]
fn t20_garbage_that_ends_before_the_queue_began_again_loses_nothing() {
    play(&["alpha.test"], async |world| {
        let Scene { a, b, group, between, mut queue, .. } = scene(&world).await;
        let before = between.restarts();
        a.update(&group).await.expect("updated");
        a.send(&group, "late").await.expect("sent");
        pass(&world, &b, &between, &mut queue, 2).await;
        let kept = Arc::new(Mutex::new(Vec::new()));
        between.rearrange(|entries| {
            let garbled = entries.iter().map(|it| garbage(it.seq)).collect();
            *kept.lock().expect("no panic") = std::mem::replace(entries, garbled);
        });
        // Twice in vain at most, be it ever so slow: the third time would begin the queue again.
        for _ in 0..2 {
            b.sync(Duration::ZERO).await.expect("synced");
        }

        between.rearrange(|entries| std::mem::swap(entries, &mut kept.lock().expect("no panic")));
        world.clock.pass(60).await;

        assert_eq!(until(&b, text).await, "late");
        assert_eq!(between.restarts(), before);
        assert_eq!(between.calls("resync"), 0);
    });
}

#[test]
fn t16_packages_of_somebody_else_are_given_to_nobody() {
    play(&["alpha.test"], async |world| {
        let (a, between) = Between::user(&world, "alpha.test").await;
        let (b, c) = (world.user("alpha.test").await, world.user("alpha.test").await);
        befriend(&a, &b).await;
        befriend(&a, &c).await;
        let group = a.create_group().await.expect("created");
        let taken = Arc::new(Mutex::new(None::<Bytes>));
        let kept = taken.clone();
        between.lie(move |name, _, reply| {
            (name == "get_add_packages")
                .then(|| kept.lock().expect("no panic").get_or_insert_with(|| reply.clone()).clone())
        });
        a.invite(&group, &[c.user().clone()]).await.expect("the truth so far");

        let refused = a.invite(&group, &[b.user().clone()]).await;

        // Sealed for another's friends; were they not, they would name another.
        assert!(matches!(refused, Err(ClientError::Unverified(_))), "{refused:?}");
        assert_eq!(a.members(&group).await.expect("members").len(), 2);
    });
}

#[test]
fn t14_a_client_whose_package_is_served_ten_times_is_added_once() {
    play(&["alpha.test"], async |world| {
        let (a, between) = Between::user(&world, "alpha.test").await;
        let b = world.user("alpha.test").await;
        befriend(&a, &b).await;
        let group = a.create_group().await.expect("created");
        between.lie(|name, _, reply| {
            (name == "get_add_packages").then(|| {
                let mut reply = AddPackages::decode(reply).expect("packages");
                reply.packages = List::new(vec![reply.packages[0].clone(); 10]).expect("ten");
                reply.encode()
            })
        });

        a.invite(&group, &[b.user().clone()]).await.expect("invited");

        assert_eq!(a.members(&group).await.expect("members").len(), 2);
        assert_eq!(until(&b, joined).await, *a.user());
    });
}

#[test]
fn t14_packages_that_ended_with_their_credential_add_nobody() {
    play(&["alpha.test"], async |world| {
        let (a, between) = Between::user(&world, "alpha.test").await;
        let b = world.user("alpha.test").await;
        befriend(&a, &b).await;
        let (first, second) =
            (a.create_group().await.expect("created"), a.create_group().await.expect("created"));
        let taken = Arc::new(Mutex::new(None::<Bytes>));
        between.lie(move |name, _, reply| {
            let mut taken = taken.lock().expect("no panic");
            (name == "get_add_packages").then(|| taken.get_or_insert_with(|| reply.clone()).clone())
        });
        a.invite(&first, &[b.user().clone()]).await.expect("the truth so far");
        for _ in 0..3 {
            world.clock.forward(31).await;
            for client in [&a, &b] {
                client.sync(Duration::ZERO).await.expect("synced");
                // A group that nobody commits in for months ends: that is told, and all else done.
                let _ = client.maintain().await;
            }
            a.update(&second).await.expect("it stays");
        }
        assert!(a.valid_until().await > world.clock.now(), "the credential was renewed");
        let before = between.calls("add_users");

        let refused = a.invite(&second, &[b.user().clone()]).await;

        assert!(matches!(refused, Err(ClientError::Unverified(_))), "{refused:?}");
        assert_eq!(between.calls("add_users"), before);
    });
}

#[test]
fn t14_packages_that_were_served_before_or_stand_in_no_batch_add_nobody() {
    play(&["alpha.test"], async |world| {
        let (a, between) = Between::user(&world, "alpha.test").await;
        let b = world.user("alpha.test").await;
        befriend(&a, &b).await;
        let (first, second) =
            (a.create_group().await.expect("created"), a.create_group().await.expect("created"));
        let taken = Arc::new(Mutex::new(None::<AddPackages>));
        let kept = taken.clone();
        between.lie(move |name, _, reply| {
            if name != "get_add_packages" {
                return None;
            }
            let reply = AddPackages::decode(reply).expect("packages");
            let mut kept = kept.lock().expect("no panic");
            let first = kept.get_or_insert_with(|| reply.clone()).clone();
            // The old packages with the new batch.
            Some(AddPackages { packages: first.packages, batch: reply.batch }.encode())
        });
        a.invite(&first, &[b.user().clone()]).await.expect("the truth so far");
        until(&b, joined).await;

        let refused = a.invite(&second, &[b.user().clone()]).await;
        assert_eq!(refused, Err(ClientError::Unexpected("a package outside of its batch")));

        // All of it as it was: the package is used up, and who is added by it cannot be invited.
        between.lie(move |name, _, _| {
            let kept = taken.lock().expect("no panic").clone().expect("taken");
            (name == "get_add_packages").then(|| kept.encode())
        });
        let _ = a.invite(&second, &[b.user().clone()]).await;
        let events = drain(&b).await;
        assert!(events.iter().all(|event| joined(event).is_none()), "{events:?}");
    });
}

#[test]
fn t11_a_queue_that_cannot_be_opened_any_more_begins_again_by_itself() {
    play(&["alpha.test"], async |world| {
        let (a, b, group) = pair(&world).await;
        // The client lost its ratchet: an older state of it goes on.
        b.lock().await.state.record.as_mut().expect("set up").inbox.lose_ratchet();
        a.send(&group, "lost").await.expect("sent");

        for _ in 0..12 {
            let _ = b.sync(Duration::from_secs(1)).await;
        }
        a.send(&group, "found").await.expect("sent");

        assert_eq!(until(&b, text).await, "found");
        b.send(&group, "thanks").await.expect("sent");
        assert_eq!(until(&a, text).await, "thanks");
    });
}

/// An entry that opens for nobody.
fn garbage(seq: u64) -> QueueEntry {
    let ciphertext = Opaque::new(vec![5; 300]).expect("short");
    QueueEntry { seq, payload: EntryPayload::Message(SealedEntry { salt: [3; 16], ciphertext }) }
}

/// What a user says.
fn text_by(user: &UserId) -> impl FnMut(&Event) -> Option<String> {
    let user = user.clone();
    move |event| match event {
        Event::Message(message) if message.sender == user => text(event),
        _ => None,
    }
}

async fn pair(world: &World) -> (Client, Client, phoenix_core::GroupId) {
    let (a, b) = (world.user("alpha.test").await, world.user("alpha.test").await);
    befriend(&a, &b).await;
    let group = group_of(&a, &b).await;
    b.update(&group).await.expect("updated");
    (a, b, group)
}
