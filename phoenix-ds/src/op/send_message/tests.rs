#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use futures::executor::block_on;
use phoenix_core::{
    Delay, LeafIndex, MessageId, Reject,
    api::delivery::{Accepted, ContentKind, SendMessageRequest},
    group::ContentHead,
    port::{Space, Store as _},
    wire::{Flag, Opaque, Sender},
};

use super::SendMessage;
use crate::{
    RemoveUsers, SendTargeted, UpdateClient, UpdateProfileKey,
    testing::{Member, World, rejected},
};

/// A nonce and a tag, around what was padded.
const SEALED: usize = 28;

#[test]
fn a_message_reaches_everyone_but_its_sender_and_each_domain_its_own() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test", "alpha.test", "beta.test"].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b, &mut c]).unwrap();

    let accepted = a.send(&world, b"hello").unwrap();

    assert_eq!(accepted.epoch.0, 1);
    let arrived = world.delivered();
    let to: Vec<_> = arrived.iter().map(|it| (it.to.as_str(), it.message.recipients.len())).collect();
    assert_eq!(to, [("alpha.test", 1), ("beta.test", 1)]);
    for (member, arrived) in [&mut b, &mut c].into_iter().zip(&arrived) {
        let message = &arrived.message;
        assert_eq!(message.recipients[0].config, member.config.sealed);
        let key = &member.access.as_ref().unwrap().ear_key;
        let content = ContentHead::of(message).open(key, &message.content).unwrap();
        assert_eq!((content.kind, content.sender), (ContentKind::Application, LeafIndex(0)));
        assert_eq!(member.read(&content.message), b"hello");
    }
    assert_ne!(arrived[0].message.content, arrived[1].message.content);
}

#[test]
fn sending_changes_nothing_of_the_group() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test", "alpha.test"].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let before = world.group_rows();

    b.send(&world, b"hello").unwrap();

    assert_eq!(world.group_rows(), before);
}

#[test]
fn an_unknown_group_and_a_wrong_key_are_not_told_apart() {
    let world = World::new();
    let mut a = Member::new(&world, "alpha.test");
    a.create(&world, None).unwrap();
    let request = a.message(b"x");
    let mut wrong_key = request.clone();
    wrong_key.access.ear_key = [9; 32].into();
    let mut wrong_id = request.clone();
    wrong_id.access.ear_key_id = 1;
    let mut unknown = request.clone();
    unknown.access.group.uuid.0[0] ^= 1;
    let mut elsewhere = request;
    elsewhere.access.group.domain = "beta.test".parse().unwrap();

    for request in [wrong_key, wrong_id, unknown, elsewhere] {
        assert_eq!(rejected(world.call::<SendMessage>(&request, Some(a.leaf()))), Reject::NotFound);
    }
}

#[test]
fn a_repeat_within_an_hour_is_answered_and_not_sent_again() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test", "alpha.test"].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let request = a.message(b"once");

    let first = world.call::<SendMessage>(&request, Some(a.leaf())).unwrap();
    let repeat = world.call::<SendMessage>(&request, Some(a.leaf())).unwrap();

    assert_eq!(first, repeat);
    assert_eq!(world.delivered().len(), 1);
    world.advance_s(3_599);
    world.call::<SendMessage>(&request, Some(a.leaf())).unwrap();
    assert!(world.delivered().is_empty());
    world.advance_s(2);
    world.call::<SendMessage>(&request, Some(a.leaf())).unwrap();
    assert_eq!(world.delivered().len(), 1);
}

#[test]
fn what_is_kept_of_a_messages_id_goes_after_an_hour_and_names_nobody() {
    let world = World::new();
    let mut a = Member::new(&world, "alpha.test");
    a.create(&world, None).unwrap();
    let request = a.message(b"x");
    world.call::<SendMessage>(&request, Some(a.leaf())).unwrap();
    let due = |after_s| {
        let due = block_on(world.store.due(Space::Ds, world.now().plus_secs(after_s), 10)).unwrap();
        due.into_iter().map(|partition| partition.key()[0]).collect::<Vec<_>>()
    };

    assert_eq!((due(3_599), due(3_600)), (Vec::new(), vec![crate::kinds::RECEIPT]));
    let receipts = world.store.dump().into_iter().filter(|(at, _)| at.key()[0] == crate::kinds::RECEIPT);
    let receipts: Vec<_> = receipts.filter(|(at, _)| at.space() == Space::Ds).collect();
    assert_eq!(receipts.len(), 1);
    assert!(!receipts[0].0.key().windows(16).any(|window| window == request.id.as_bytes()));
    let [(row, sender)] = &receipts[0].1.rows[..] else { panic!("{:?}", receipts[0].1.rows) };
    assert!(row.is_empty() && sender.len() == 32);
    assert!(!sender.windows(16).any(|window| window == a.credential.pseudonym.as_bytes()));
}

#[test]
fn who_comes_to_the_leaf_of_a_former_member_meets_none_of_its_messages() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test"; 3].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let former = b.message(b"from b");
    world.call::<SendMessage>(&former, Some(b.leaf())).unwrap();
    let removal = a.commit(Vec::new(), &[b.index()], 0).request;
    world.call::<RemoveUsers>(&removal, Some(a.leaf())).unwrap();
    a.merge();
    a.add(&world, &mut [&mut c]).unwrap();
    world.delivered();

    let request = SendMessageRequest { id: former.id, ..c.message(b"from c") };
    world.call::<SendMessage>(&request, Some(c.leaf())).unwrap();
    world.call::<SendMessage>(&request, Some(c.leaf())).unwrap();

    assert_eq!(b.index(), c.index());
    assert_eq!(a.read(&a.contents(&world.delivered())[0].message), b"from c");
}

#[test]
fn only_the_member_at_the_named_leaf_sends() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test", "alpha.test"].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let request = a.message(b"x");
    let group = request.access.group.clone();
    let mut other_group = group.clone();
    other_group.uuid.0[0] ^= 1;

    for (group, leaf) in [(group.clone(), 0), (group, 9), (other_group, 1)] {
        let sender = (Sender::Leaf(group, LeafIndex(leaf)), &b.key);
        assert_eq!(rejected(world.call::<SendMessage>(&request, Some(sender))), Reject::Unauthenticated);
    }
    assert_eq!(rejected(world.call::<SendMessage>(&request, None)), Reject::Unauthenticated);
}

#[test]
fn a_message_of_the_last_five_epochs_is_taken_and_no_older_one() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test", "alpha.test"].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    let too_early = a.message(b"early");
    a.add(&world, &mut [&mut b]).unwrap();
    let old = a.message(b"old");
    for _ in 0..5 {
        let commit = a.commit(Vec::new(), &[], 0);
        world.call::<UpdateClient>(&commit.request, Some(a.leaf())).unwrap();
        a.merge();
    }

    let sent = world.call::<SendMessage>(&old, Some(a.leaf()));
    let before_its_time = world.call::<SendMessage>(&too_early, Some(b.leaf()));
    let commit = a.commit(Vec::new(), &[], 0);
    world.call::<UpdateClient>(&commit.request, Some(a.leaf())).unwrap();
    let too_old = SendMessageRequest { id: MessageId([1; 16]), ..old };
    let too_old = world.call::<SendMessage>(&too_old, Some(a.leaf()));

    assert_eq!(sent.unwrap().epoch.0, 6);
    assert_eq!(rejected(before_its_time), Reject::Conflict(Some(6)));
    assert_eq!(rejected(too_old), Reject::Conflict(Some(7)));
}

#[test]
fn what_is_not_an_application_message_of_this_group_is_refused() {
    let world = World::new();
    let [mut a, mut other] = ["alpha.test", "alpha.test"].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    other.create(&world, None).unwrap();
    let request = a.message(b"x");
    let foreign = other.message(b"x").message;
    let commit = a.commit(Vec::new(), &[], 0).request.commit;
    let truncated = request.message[..request.message.len() - 1].to_vec();

    for message in [foreign.to_vec(), commit.to_vec(), truncated, Vec::new()] {
        let request = SendMessageRequest { message: Opaque::new(message).unwrap(), ..request.clone() };
        let outcome = world.call::<SendMessage>(&request, Some(a.leaf()));
        assert_eq!(rejected(outcome), Reject::Malformed("message"));
    }
}

#[test]
fn a_large_message_reaches_as_many_domains_as_one_batch_takes() {
    let world = World::new();
    let mut a = Member::new(&world, "alpha.test");
    a.create(&world, None).unwrap();
    a.grow(&world, 32, |number| format!("d{number}.test"));

    a.send(&world, &[7; 250_000]).unwrap();
    let arrived = world.delivered();
    a.grow(&world, 1, |_| "d32.test".to_owned());
    let too_many = a.send(&world, &[7; 250_000]);

    assert_eq!(arrived.len(), 32);
    assert_eq!(rejected(too_many), Reject::TooLarge("message"));
    assert!(world.delivered().is_empty());
}

#[test]
fn an_ephemeral_message_is_for_open_streams_and_waits_nowhere() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test", "alpha.test", "beta.test"].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b, &mut c]).unwrap();
    let request = SendMessageRequest { ephemeral: Flag::Yes, ..a.message(b"typing") };
    let before = world.store.dump().len();

    let accepted = world.call::<SendMessage>(&request, Some(a.leaf())).unwrap();

    assert_eq!(accepted.epoch.0, 1);
    assert!(world.delivered().is_empty());
    assert_eq!(world.store.dump().len(), before + 1, "a spent token is all that is written");
    let whispered = world.whispered();
    for ((to, message), member) in whispered.iter().zip([&mut b, &mut c]) {
        assert_eq!((to, message.ephemeral), (&member.config.domain, Flag::Yes));
        assert_eq!(message.recipients.len(), 1);
        assert_eq!(message.recipients[0].config, member.config.sealed);
        let content = ContentHead::of(message).open(&request.access.ear_key, &message.content).unwrap();
        assert_eq!(member.read(&content.message), b"typing");
        let durable = ContentHead { ephemeral: Flag::No, ..ContentHead::of(message) };
        assert!(
            durable.open(&request.access.ear_key, &message.content).is_err(),
            "it cannot pass for durable"
        );
    }
    assert_eq!(whispered.len(), 2);
}

#[test]
fn ephemeral_messages_that_nobody_takes_fill_no_memory() {
    let world = World::limited(phoenix_core::limit::Limits::unlimited());
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();

    for _ in 0..60 {
        let request = SendMessageRequest { ephemeral: Flag::Yes, ..a.message(&[7; 200_000]) };
        world.call::<SendMessage>(&request, Some(a.leaf())).unwrap();
    }

    let bytes: usize = world.whispered().iter().map(|(_, message)| message.content.len()).sum();
    assert!((4 << 20..8 << 20).contains(&bytes), "{bytes}");
}

#[test]
fn an_answer_names_the_domains_towards_which_delivery_is_delayed() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test", "beta.test", "gamma.test"].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b, &mut c]).unwrap();
    let (now, beta) = (world.now(), b.config.domain.clone());
    let delayed = |until| Some(Delay { since: now, until, ..Delay::default() });
    world.engine.shared().note_delay(beta.clone(), delayed(now.plus_secs(400)));
    world.engine.shared().note_delay("elsewhere.test".parse().unwrap(), delayed(now.plus_secs(400)));
    let told = vec![(beta.clone(), now.as_secs())];
    let named = |accepted: Accepted| -> Vec<_> {
        accepted.delayed.iter().map(|it| (it.domain.clone(), it.since)).collect()
    };

    let request = a.message(b"hello");
    let sent = world.call::<SendMessage>(&request, Some(a.leaf())).unwrap();
    let repeat = world.call::<SendMessage>(&request, Some(a.leaf())).unwrap();
    let targeted = a.targeted(b.credential.pseudonym, b"x");
    let to_b = world.call::<SendTargeted>(&targeted, Some(a.leaf())).unwrap();
    let targeted = a.targeted(c.credential.pseudonym, b"x");
    let to_c = world.call::<SendTargeted>(&targeted, Some(a.leaf())).unwrap();
    let by_b = b.send(&world, b"my own server is away").unwrap();
    let key = world.call::<UpdateProfileKey>(&a.profile_key(7), Some(a.leaf())).unwrap();
    let commit = a.commit(Vec::new(), &[], 0).request;
    let commit = world.call::<UpdateClient>(&commit, Some(a.leaf())).unwrap();
    a.merge();

    for accepted in [sent, repeat, to_b, key, commit] {
        assert_eq!(named(accepted), told);
    }
    for accepted in [to_c, by_b] {
        assert_eq!(named(accepted), []);
    }
    world.engine.shared().note_delay(beta, None);
    assert_eq!(named(a.send(&world, b"there again").unwrap()), []);
}

#[test]
fn what_queues_see_of_a_message_is_in_the_steps_of_the_padding_and_at_least_256_bytes() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let mut lengths = std::collections::BTreeSet::new();
    for length in (0..4_000).step_by(97) {
        a.send(&world, &vec![7; length]).unwrap();
        lengths.insert(world.delivered()[0].message.content.len() - SEALED);
    }

    assert!(lengths.iter().all(|it| *it >= 256));
    for length in &lengths {
        // Padmé: of a number of e bits, the last e - log2(e) are zeros.
        let exponent = length.ilog2();
        let zeros = exponent - (exponent.ilog2() + 1);
        assert_eq!(length % (1 << zeros), 0, "{length}");
    }
    assert!(lengths.len() < 41, "lengths are told apart: {lengths:?}");
}
