#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use phoenix_core::Reject;

use super::RemoveUsers;
use crate::{
    UpdateClient,
    testing::{Member, World, rejected},
};

#[test]
fn who_was_removed_learns_it_and_sends_no_more() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test"; 3].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b, &mut c]).unwrap();
    let commit = a.commit(Vec::new(), &[b.index()], 0);

    world.call::<RemoveUsers>(&commit.request, Some(a.leaf())).unwrap();

    a.merge();
    c.process(&commit.request.commit);
    let recipients: Vec<_> =
        world.delivered().iter().flat_map(|it| it.message.recipients.to_vec()).map(|it| it.config).collect();
    assert!(recipients.contains(&b.config.sealed) && recipients.contains(&c.config.sealed));
    assert_eq!(rejected(b.send(&world, b"still here?")), Reject::Unauthenticated);
    a.send(&world, b"without b").unwrap();
    let arrived = world.delivered();
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].message.recipients.len(), 1);
    assert_eq!(arrived[0].message.recipients[0].config, c.config.sealed);
}

#[test]
fn only_admins_remove() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let commit = b.commit(Vec::new(), &[0], 0);

    assert_eq!(rejected(world.call::<RemoveUsers>(&commit.request, Some(b.leaf()))), Reject::Forbidden);
    // Nor through an endpoint that is open to all.
    let elsewhere = world.call::<UpdateClient>(&commit.request, Some(b.leaf()));
    assert_eq!(rejected(elsewhere), Reject::Malformed("proposal"));
}

#[test]
fn removing_nobody_is_refused() {
    let world = World::new();
    let mut a = Member::new(&world, "alpha.test");
    a.create(&world, None).unwrap();
    let commit = a.commit(Vec::new(), &[], 0);

    let outcome = world.call::<RemoveUsers>(&commit.request, Some(a.leaf()));

    assert_eq!(rejected(outcome), Reject::Malformed("proposals"));
}

#[test]
fn a_freed_leaf_gives_its_next_member_no_rights() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test"; 3].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let commit = a.commit(Vec::new(), &[b.index()], 0);
    world.call::<RemoveUsers>(&commit.request, Some(a.leaf())).unwrap();
    a.merge();
    a.add(&world, &mut [&mut c]).unwrap();

    assert_eq!(c.index(), b.index());
    assert_eq!(rejected(b.send(&world, b"x")), Reject::Unauthenticated);
    assert!(c.send(&world, b"x").is_ok());
}
