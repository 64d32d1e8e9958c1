#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use phoenix_core::{
    LeafIndex, MessageId, Pseudonym, Reject,
    api::{
        delivery::{ContentKind, MessageAad, SendMessageRequest, SendTargetedRequest},
        queue::NotifyClass,
    },
    group::ContentHead,
    wire::{Flag, Sender},
};

use super::SendTargeted;
use crate::{
    SendMessage, UpdateClient,
    testing::{Member, World, rejected},
};

/// A group of three.
fn three(world: &World) -> [Member; 3] {
    let [mut a, mut b, mut c] = ["alpha.test", "alpha.test", "beta.test"].map(|it| Member::new(world, it));
    a.create(world, None).unwrap();
    a.add(world, &mut [&mut b, &mut c]).unwrap();
    [a, b, c]
}

#[test]
fn a_targeted_message_reaches_its_target_alone() {
    let world = World::new();
    let [mut a, b, mut c] = three(&world);
    let before = world.group_rows();

    let accepted =
        world.call::<SendTargeted>(&a.targeted(c.credential.pseudonym, b"psst"), Some(a.leaf())).unwrap();

    assert_eq!(accepted.epoch.0, 1);
    let arrived = world.delivered();
    assert_eq!(arrived.len(), 1);
    assert_eq!((arrived[0].to.as_str(), arrived[0].message.notify), ("beta.test", NotifyClass::Urgent));
    let recipients = &arrived[0].message.recipients;
    assert_eq!(recipients.len(), 1);
    assert_eq!(recipients[0].config, c.config.sealed);
    let key = &b.access.as_ref().unwrap().ear_key;
    let content = ContentHead::of(&arrived[0].message).open(key, &arrived[0].message.content).unwrap();
    assert_eq!((content.kind, content.sender), (ContentKind::Targeted, LeafIndex(0)));
    assert_eq!(c.read(&content.message), b"psst");
    assert_eq!(world.group_rows(), before, "sending changes nothing of the group");
}

#[test]
fn what_was_encrypted_for_all_or_for_another_is_not_sent_to_one_and_what_was_for_one_not_to_all() {
    let world = World::new();
    let [mut a, b, c] = three(&world);
    let request = a.targeted(b.credential.pseudonym, b"for b");
    let for_all = a.encrypt(MessageAad::Application, b"for all");
    let for_c = a.encrypt(MessageAad::Targeted(c.credential.pseudonym), b"for c");

    for message in [for_all, for_c] {
        let request = SendTargetedRequest { message, ..request.clone() };
        assert_eq!(
            rejected(world.call::<SendTargeted>(&request, Some(a.leaf()))),
            Reject::Malformed("message")
        );
    }
    let SendTargetedRequest { access, message, id, ephemeral, notify, .. } = request;
    let to_all = SendMessageRequest { access, message, id, ephemeral, notify };
    assert_eq!(rejected(world.call::<SendMessage>(&to_all, Some(a.leaf()))), Reject::Malformed("message"));
    assert!(world.delivered().is_empty());
}

#[test]
fn nobody_targets_itself_or_somebody_who_is_no_member() {
    let world = World::new();
    let [mut a, ..] = three(&world);

    let itself = a.targeted(a.credential.pseudonym, b"x");
    let nobody = a.targeted(Pseudonym([9; 16]), b"x");

    let outcome = world.call::<SendTargeted>(&itself, Some(a.leaf()));
    assert_eq!(rejected(outcome), Reject::Malformed("target"));
    assert_eq!(rejected(world.call::<SendTargeted>(&nobody, Some(a.leaf()))), Reject::NotFound);
}

#[test]
fn only_the_member_at_the_named_leaf_sends_and_only_with_the_groups_key() {
    let world = World::new();
    let [mut a, b, c] = three(&world);
    let request = a.targeted(b.credential.pseudonym, b"x");
    let group = request.access.group.clone();

    for (sender, key) in [((group.clone(), 0), &c.key), ((group, 9), &a.key)] {
        let sender = (Sender::Leaf(sender.0, LeafIndex(sender.1)), key);
        let outcome = world.call::<SendTargeted>(&request, Some(sender));
        assert_eq!(rejected(outcome), Reject::Unauthenticated);
    }
    assert_eq!(rejected(world.call::<SendTargeted>(&request, None)), Reject::Unauthenticated);
    let mut wrong_key = request;
    wrong_key.access.ear_key = [9; 32].into();
    assert_eq!(rejected(world.call::<SendTargeted>(&wrong_key, Some(a.leaf()))), Reject::NotFound);
}

#[test]
fn a_message_is_of_an_epoch_that_is_not_too_old_and_in_which_its_target_was_a_member() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    let too_early = a.targeted(b.credential.pseudonym, b"before b came");
    a.add(&world, &mut [&mut b]).unwrap();
    let old = a.targeted(b.credential.pseudonym, b"old");
    for _ in 0..5 {
        let commit = a.commit(Vec::new(), &[], 0);
        world.call::<UpdateClient>(&commit.request, Some(a.leaf())).unwrap();
        a.merge();
    }

    assert_eq!(rejected(world.call::<SendTargeted>(&too_early, Some(a.leaf()))), Reject::Conflict(Some(6)));
    assert_eq!(world.call::<SendTargeted>(&old, Some(a.leaf())).unwrap().epoch.0, 6);
    let commit = a.commit(Vec::new(), &[], 0);
    world.call::<UpdateClient>(&commit.request, Some(a.leaf())).unwrap();
    let too_old = SendTargetedRequest { id: MessageId([1; 16]), ..old };
    assert_eq!(rejected(world.call::<SendTargeted>(&too_old, Some(a.leaf()))), Reject::Conflict(Some(7)));
}

#[test]
fn a_target_that_joined_later_than_the_message_does_not_get_it() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    let early = a.targeted(b.credential.pseudonym, b"before b came");
    a.add(&world, &mut [&mut b]).unwrap();
    world.delivered();

    let outcome = world.call::<SendTargeted>(&early, Some(a.leaf()));

    assert_eq!(rejected(outcome), Reject::Conflict(Some(1)));
    assert!(world.delivered().is_empty());
}

#[test]
fn a_repeat_within_an_hour_is_answered_also_where_the_target_has_gone_and_not_sent_again() {
    let world = World::new();
    let [mut a, b, _c] = three(&world);
    let request = a.targeted(b.credential.pseudonym, b"once");

    let first = world.call::<SendTargeted>(&request, Some(a.leaf())).unwrap();
    world.advance_s(3_599);
    let removal = a.commit(Vec::new(), &[b.index()], 0);
    world.call::<crate::RemoveUsers>(&removal.request, Some(a.leaf())).unwrap();
    let repeat = world.call::<SendTargeted>(&request, Some(a.leaf())).unwrap();

    assert_eq!((first.epoch.0, repeat.epoch.0), (1, 2));
    let to_b = |it: &crate::testing::Arrived| it.message.recipients[0].config == b.config.sealed;
    // The message, and the commit that removes b.
    assert_eq!(world.delivered().iter().filter(|it| to_b(it)).count(), 2);
    world.advance_s(2);
    assert_eq!(rejected(world.call::<SendTargeted>(&request, Some(a.leaf()))), Reject::NotFound);
}

#[test]
fn an_ephemeral_message_to_one_is_told_to_that_one_and_waits_nowhere() {
    let world = World::new();
    let [mut a, b, _c] = three(&world);
    let request = SendTargetedRequest { ephemeral: Flag::Yes, ..a.targeted(b.credential.pseudonym, b"x") };

    world.call::<SendTargeted>(&request, Some(a.leaf())).unwrap();

    assert!(world.delivered().is_empty());
    let whispered = world.whispered();
    assert_eq!(whispered.len(), 1);
    assert_eq!(whispered[0].1.recipients[0].config, b.config.sealed);
}
