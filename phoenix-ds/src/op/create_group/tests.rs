#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use phoenix_core::{
    Reject, Uuid,
    api::delivery::CreateGroupRequest,
    crypto::{Chance, SigningKey, Suite},
    wire::{Flag, Opaque, Sender, Wire},
};

use super::CreateGroup;
use crate::testing::{Member, World, rejected};

#[test]
fn a_group_is_created_in_both_suites() {
    let world = World::new();
    for suite in [Suite::Ed25519, Suite::P256] {
        let mut creator = Member::with(&world, "alpha.test", suite);

        assert!(creator.create(&world, None).is_ok());
    }
    assert_eq!(world.delivered().len(), 0);
}

#[test]
fn an_id_serves_once() {
    let world = World::new();
    let mut creator = Member::new(&world, "alpha.test");
    let request = creator.creation(&world, None);

    let outcomes = [(); 2].map(|()| world.call::<CreateGroup>(&request, Some(creator.new_key())));

    let [first, second] = outcomes;
    assert!(first.is_ok());
    assert_eq!(rejected(second), Reject::AlreadyExists);
}

#[test]
fn a_reservation_that_is_forged_or_over_is_refused() {
    let world = World::new();
    let mut creator = Member::new(&world, "alpha.test");
    let request = creator.creation(&world, None);
    let mut forged = request.clone();
    forged.reservation.mac[0] ^= 1;
    let mut longer = request.clone();
    longer.reservation.expires += 1;
    let mut elsewhere = request.clone();
    elsewhere.reservation.group.domain = "beta.test".parse().unwrap();
    let mut another = request.clone();
    another.reservation.group.uuid = Uuid([7; 16]);

    for (request, expected) in [
        (forged, Reject::Forbidden),
        (longer, Reject::Forbidden),
        (another, Reject::Forbidden),
        (elsewhere, Reject::NotFound),
    ] {
        assert_eq!(rejected(world.call::<CreateGroup>(&request, Some(creator.new_key()))), expected);
    }
    world.advance_s(601);
    assert_eq!(rejected(world.call::<CreateGroup>(&request, Some(creator.new_key()))), Reject::Forbidden);
}

#[test]
fn only_the_holder_of_the_leafs_key_creates_a_group() {
    let world = World::new();
    let mut creator = Member::new(&world, "alpha.test");
    let request = creator.creation(&world, None);
    let other = SigningKey::generate(Suite::Ed25519, &mut Chance::from_seed([5; 32]));

    let own_name = world.call::<CreateGroup>(&request, Some((Sender::NewKey(other.verifying_key()), &other)));
    let foreign_name = world.call::<CreateGroup>(&request, Some((creator.new_key().0, &other)));

    assert_eq!(rejected(own_name), Reject::Unauthenticated);
    assert_eq!(rejected(foreign_name), Reject::Unauthenticated);
    assert!(world.group_rows().is_empty());
}

#[test]
fn a_group_that_the_protocol_does_not_know_is_refused() {
    let world = World::new();
    let others = World::with_other_keys();
    let mut creator = Member::new(&world, "alpha.test");
    let request = creator.creation(&world, None);
    // The reservation of one group, and the state of another.
    let other = creator.creation(&world, None);
    let mixed = CreateGroupRequest { reservation: other.reservation.clone(), ..request.clone() };
    // Lists another DS's keys as external senders.
    let mut stranger = Member::new(&world, "alpha.test");
    let mut foreign = stranger.creation(&others, None);
    foreign.reservation = others.reservation_of(&world, &foreign);
    let mut any = request.clone();
    any.config.any = Flag::Yes;
    let torn = CreateGroupRequest { tree: other.tree.clone(), ..request.clone() };

    for (request, name) in [(mixed, "group id"), (any, "queue config"), (torn, "group")] {
        let outcome = world.call::<CreateGroup>(&request, Some(creator.new_key()));
        assert!(matches!(rejected(outcome), Reject::Malformed(_)), "{name}");
    }
    let outcome = world.call::<CreateGroup>(&foreign, Some(stranger.new_key()));
    assert_eq!(rejected(outcome), Reject::Malformed("external senders"));
}

#[test]
fn a_new_group_is_of_one_and_never_had_another() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test"; 3].map(|it| Member::new(&world, it));
    let first = a.creation(&world, None);
    world.call::<CreateGroup>(&first, Some(a.new_key())).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    b.commit(Vec::new(), &[0], 0);
    b.merge();
    let second = c.creation(&world, None);
    c.commit(Vec::new(), &[], 0);
    c.merge();
    // It has the same keys, and knows none of the groups.
    let elsewhere = World::new();

    // Two members; one at the second leaf; one in its second epoch.
    for (member, request) in [(&a, &first), (&b, &first), (&c, &second)] {
        let (tree, group_info) = member.exported();
        let request = CreateGroupRequest { tree, group_info, ..request.clone() };
        let outcome = elsewhere.call::<CreateGroup>(&request, Some(member.new_key()));
        assert_eq!(rejected(outcome), Reject::Malformed("tree"));
    }
}

#[test]
fn what_is_stored_of_a_group_names_nothing_and_is_padded() {
    let world = World::new();
    let mut creator = Member::new(&world, "alpha.test");
    creator.create(&world, None).unwrap();

    let rows = world.group_rows();

    let group = creator.access.as_ref().unwrap().group.uuid.0;
    let pseudonym = creator.credential.pseudonym.0;
    let queue = &creator.config.sealed.sealed.enc;
    for needle in [group.as_slice(), &pseudonym, queue, b"alpha.test"] {
        assert!(rows.iter().all(|(_, value)| !value.windows(needle.len()).any(|it| it == needle)));
    }
    let lengths: Vec<_> = rows.iter().map(|(key, value)| (key[0], value.len())).collect();
    assert_eq!(lengths[1..], [(b'k', 64 + 28), (b'r', 4_096 + 28), (b't', 16_384 + 28)]);
}

#[test]
fn t20_a_deep_tree_is_refused_by_its_length_and_a_short_one_by_its_shape() {
    let world = World::new();
    let mut a = Member::new(&world, "alpha.test");
    let request = a.creation(&world, None);
    let body = 256 << 10;
    let leaf = request.tree.as_slice();
    // So many blank nodes, and a leaf at the end of the deepest tree that they make.
    let deep = |blanks: usize| {
        let nodes: Vec<u8> = vec![0; blanks];
        // Without the length in front.
        Opaque::<{ 1 << 20 }>::new([nodes, leaf[2..].to_vec()].concat()).unwrap().encode()
    };
    for (tree, expected) in [
        (deep(body - 16_384), Reject::TooLarge("tree")),
        (deep(8 << 10), Reject::TooLarge("tree")),
        (deep(4 << 10), Reject::Malformed("group")),
        (deep(2), Reject::Malformed("group")),
        (vec![0xbf, 0xff, 0xff, 0xff].into(), Reject::Malformed("tree")),
        (vec![0x80, 0x01, 0x00, 0x00, 1, 1].into(), Reject::Malformed("tree")),
    ] {
        let length = tree.len();
        let request = CreateGroupRequest { tree: Opaque::new(tree).unwrap(), ..request.clone() };
        let outcome = world.call::<CreateGroup>(&request, Some(a.new_key()));
        assert_eq!(rejected(outcome), expected, "{length} bytes");
        assert!(world.group_rows().is_empty());
    }
    assert!(world.call::<CreateGroup>(&request, Some(a.new_key())).is_ok(), "a tree of one leaf is short");
}
