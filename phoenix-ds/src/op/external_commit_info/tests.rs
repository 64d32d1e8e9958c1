#![allow(clippy::unwrap_used, reason = "tests")]

use phoenix_core::{Reject, api::delivery::ExternalCommitInfoRequest};

use super::ExternalCommitInfo;
use crate::testing::{Member, World, rejected};

#[test]
fn a_member_gets_what_it_needs_to_resync_and_nobody_else_does() {
    let world = World::new();
    let [mut a, mut b, c] = ["alpha.test"; 3].map(|it| Member::new(&world, it));
    a.create(&world, None).unwrap();
    a.add(&world, &mut [&mut b]).unwrap();
    let request = ExternalCommitInfoRequest { access: a.access.clone().unwrap(), join_code: None };

    let found = world.call::<ExternalCommitInfo>(&request, Some(b.leaf())).unwrap();

    assert_eq!(found.roster.members.len(), 2);
    assert!(found.proposals.is_empty());
    let stranger = (b.leaf().0, &c.key);
    assert_eq!(rejected(world.call::<ExternalCommitInfo>(&request, Some(stranger))), Reject::Unauthenticated);
    assert_eq!(rejected(world.call::<ExternalCommitInfo>(&request, None)), Reject::Unauthenticated);
    let both = ExternalCommitInfoRequest { join_code: Some([1; 32].into()), ..request };
    let outcome = world.call::<ExternalCommitInfo>(&both, Some(b.leaf()));
    assert_eq!(rejected(outcome), Reject::Malformed("join code"));
}
