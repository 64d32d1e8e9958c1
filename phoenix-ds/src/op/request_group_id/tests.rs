#![allow(clippy::unwrap_used, reason = "tests")]

use phoenix_core::api::Empty;

use crate::{DsKeys, RequestGroupId, testing::World};

#[test]
fn every_group_id_is_new_and_nothing_of_it_is_kept() {
    let world = World::new();

    let ids = [(); 3].map(|()| world.call::<RequestGroupId>(&Empty {}, None).unwrap());

    assert_ne!(ids[0].group, ids[1].group);
    assert_ne!(ids[1].group, ids[2].group);
    assert!(ids.iter().all(|it| it.expires == world.now().as_secs() + 600));
    assert!(world.group_rows().is_empty());
}

#[test]
fn the_published_keys_are_those_in_force() {
    let world = World::new();

    let keys = world.call::<DsKeys>(&Empty {}, None).unwrap();

    assert_eq!(keys, world.engine.ring().service.public(world.now()));
    assert_eq!(keys.verifying.len(), 2);
}
