#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use phoenix_core::{LeafIndex, Reject, api::delivery::ContentKind, crypto::Chance, wire::Flag};

use crate::testing::{Member, World, rejected};

#[test]
fn messages_go_to_the_new_queue_also_at_another_homeserver() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let config = Member::fresh_config("beta.test", &mut Chance::from_seed([5; 32]));

    b.update_config(&world, config.clone()).unwrap();

    a.send(&world, b"hello").unwrap();
    let arrived = world.delivered();
    assert_eq!(arrived[0].to, config.domain);
    assert_eq!(arrived[0].message.recipients[0].config, config.sealed);
}

#[test]
fn a_config_of_another_leaf_or_for_any_ds_is_refused() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let mut any = Member::fresh_config("beta.test", &mut Chance::from_seed([5; 32]));
    any.any = Flag::Yes;

    assert_eq!(rejected(b.update_config(&world, a.config.clone())), Reject::DuplicateKey);
    assert_eq!(rejected(b.update_config(&world, any)), Reject::Malformed("queue config"));
    let same = b.config.clone();
    assert!(b.update_config(&world, same).is_ok());
}

#[test]
fn who_leaves_a_queue_is_told_through_it_that_nothing_follows() {
    // given a member whose queue is at one homeserver
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    a.send(&world, b"before").unwrap();
    let former = b.config.clone();
    world.delivered();

    // when it leaves that for one at another
    b.leave_queue(&world, Member::fresh_config("beta.test", &mut Chance::from_seed([5; 32]))).unwrap();
    a.send(&world, b"after").unwrap();

    // then the end is the last thing that comes through the former config, and all else through the new one
    let arrived = world.delivered();
    let [end, after] = &arrived[..] else { panic!("two messages") };
    assert_eq!((&end.to, &end.message.recipients[0].config), (&former.domain, &former.sealed));
    assert_eq!((&after.to, &after.message.recipients[0].config), (&b.config.domain, &b.config.sealed));
    b.config = former;
    let told = b.contents(&arrived);
    assert_eq!((told.len(), told[0].kind, told[0].sender), (1, ContentKind::ConfigEnds, LeafIndex(1)));
    assert!(told[0].message.is_empty());
}
