#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use phoenix_core::{Reject, api::delivery::ContentKind, group::ContentHead};

use super::SendMessage;
use crate::testing::{Member, World, rejected};

#[test]
fn a_message_reaches_everyone_but_its_sender() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test", "alpha.test", "beta.test"].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let request = a.adding(&world, &mut [&mut c]);
    let _ = request;
    world.delivered();

    let accepted = a.send(&world, b"hello").unwrap();

    assert_eq!(accepted.epoch.0, 1);
    let arrived = world.delivered();
    assert_eq!(arrived.len(), 1);
    let message = &arrived[0].message;
    assert_eq!(message.recipients[0].config, b.config.sealed);
    let content = ContentHead::of(message).open(&a.access.unwrap().ear_key, &message.content).unwrap();
    assert_eq!((content.kind, content.sender.0), (ContentKind::Application, 0));
    assert_eq!(b.read(&content.message), b"hello");
}

#[test]
fn an_unknown_group_and_a_wrong_key_are_not_told_apart() {
    let world = World::new();
    let mut a = Member::new(&world, "alpha.test");
    a.create(&world, None).unwrap();
    let mut wrong_key = a.message(b"x");
    wrong_key.access.ear_key = [9; 32].into();
    let mut unknown = a.message(b"x");
    unknown.access.group.uuid.0[0] ^= 1;

    let outcomes = [wrong_key, unknown].map(|it| rejected(world.call::<SendMessage>(&it, Some(a.leaf()))));

    assert_eq!(outcomes, [Reject::NotFound; 2]);
}
