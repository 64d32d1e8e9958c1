#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use phoenix_core::{Reject, crypto::Chance, wire::Flag};

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
