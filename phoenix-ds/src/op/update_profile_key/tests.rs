#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use phoenix_core::{
    LeafIndex, Reject,
    api::{
        delivery::{ContentKind, ExternalCommitInfoRequest, ProfileKeyUpdated},
        queue::NotifyClass,
    },
    group::ContentHead,
    wire::Wire,
};

use super::UpdateProfileKey;
use crate::{
    ExternalCommitInfo,
    kinds::{CLEAR, ROSTER, TREE},
    testing::{Member, World, rejected},
};

#[test]
fn a_new_profile_key_is_told_to_all_others_and_to_those_who_come_later() {
    let world = World::new();
    let [mut a, mut b, mut c] = ["alpha.test", "alpha.test", "beta.test"].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b, &mut c]).unwrap();
    let request = b.profile_key(7);

    let accepted = world.call::<UpdateProfileKey>(&request, Some(b.leaf())).unwrap();

    assert_eq!(accepted.epoch.0, 1);
    let arrived = world.delivered();
    let mut to: Vec<_> = arrived.iter().map(|it| it.message.recipients[0].config.clone()).collect();
    to.sort_by_key(|it| *it != a.config.sealed);
    assert_eq!(to, [a.config.sealed.clone(), c.config.sealed.clone()]);
    for arrived in &arrived {
        assert_eq!(arrived.message.notify, NotifyClass::Silent);
        let content =
            ContentHead::of(&arrived.message).open(&request.access.ear_key, &arrived.message.content);
        let content = content.unwrap();
        assert_eq!((content.kind, content.sender), (ContentKind::ProfileKey, LeafIndex(b.index())));
        let told = ProfileKeyUpdated::decode(&content.message).unwrap();
        assert_eq!((told.member, told.profile_key), (b.credential.pseudonym, request.profile_key.clone()));
    }
    let asked = ExternalCommitInfoRequest { access: request.access.clone(), join_code: None };
    let info = world.call::<ExternalCommitInfo>(&asked, Some(a.leaf())).unwrap();
    let member = info.roster.members.iter().find(|it| it.leaf.0 == b.index()).unwrap();
    assert_eq!(member.keys.profile_key, request.profile_key);
    assert!(!member.keys.link_key.is_empty(), "the link key stays");
}

#[test]
fn the_roster_changes_and_nothing_else() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let access = a.access.clone().unwrap();
    let before = world.partition(&access);

    world.call::<UpdateProfileKey>(&b.profile_key(7), Some(b.leaf())).unwrap();

    let after = world.partition(&access);
    let row = |found: &phoenix_core::port::Snapshot, key: &[u8]| {
        found.rows.iter().find(|(at, _)| at == key).map(|(_, value)| value.clone())
    };
    assert_ne!(row(&before, &ROSTER), row(&after, &ROSTER));
    for kept in [TREE, CLEAR] {
        assert_eq!(row(&before, &kept), row(&after, &kept));
    }
    assert_eq!((before.alarm, before.rows.len()), (after.alarm, after.rows.len()));
}

#[test]
fn only_a_member_with_the_groups_key_changes_its_own() {
    let world = World::new();
    let [mut a, mut b] = ["alpha.test"; 2].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let request = b.profile_key(7);

    let forged = (b.leaf().0, &a.key);
    assert_eq!(rejected(world.call::<UpdateProfileKey>(&request, Some(forged))), Reject::Unauthenticated);
    assert_eq!(rejected(world.call::<UpdateProfileKey>(&request, None)), Reject::Unauthenticated);
    let mut wrong_key = request;
    wrong_key.access.ear_key = [9; 32].into();
    assert_eq!(rejected(world.call::<UpdateProfileKey>(&wrong_key, Some(b.leaf()))), Reject::NotFound);
    assert!(world.delivered().is_empty());
}
