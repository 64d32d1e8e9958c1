//! T15, a member that was removed, or is about to be, and goes on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use phoenix_core::{
    Epoch, Failure, Reject,
    api::delivery::{CommitRequest, ExternalCommitInfoReply, WelcomeInfoRequest},
    crypto::Chance,
    time::{HOUR, MINUTE},
    wire::List,
};

use super::{group, world};
use crate::{
    AddUsers, ChangeRoles, RemoveUsers, Resync, UpdateClient, WelcomeInfo,
    testing::{Member, World, rejected},
};

/// Everything that a member can ask of its group, each of the epoch that it knows; but for reads and leaving.
fn acts(world: &World, member: &mut Member) -> Vec<Result<(), Failure>> {
    let mut friend = Member::new(world, "alpha.test");
    let adding = member.adding(world, &mut [&mut friend]);
    let removal = member.commit(Vec::new(), &[0], 0).request;
    let context = member.roles(&[&*member]);
    let roles = member.changing(context);
    let update = member.commit(Vec::new(), &[], 0).request;
    vec![
        world.call::<AddUsers>(&adding, Some(member.leaf())).map(drop),
        world.call::<RemoveUsers>(&removal, Some(member.leaf())).map(drop),
        world.call::<ChangeRoles>(&roles, Some(member.leaf())).map(drop),
        world.call::<UpdateClient>(&update, Some(member.leaf())).map(drop),
    ]
}

#[test]
fn t15_a_removed_member_sends_reads_commits_and_resyncs_no_more() {
    let world = world();
    let [mut a, mut b, mut c] = group(&world);
    // What it could prepare while it was a member.
    let info = b.external_commit_info(&world).unwrap();
    let (leaf, key) = (b.leaf().0, b.key.clone());
    let message = b.message(b"prepared");
    let commit = a.commit(Vec::new(), &[b.index()], 0).request;
    world.call::<RemoveUsers>(&commit, Some(a.leaf())).unwrap();
    a.merge();
    c.process(&commit.commit);
    world.delivered();
    let before = world.group_rows();

    let refused = Reject::Unauthenticated;
    let sent = world.call::<crate::SendMessage>(&message, Some((leaf.clone(), &key)));
    assert_eq!(rejected(sent), refused);
    for outcome in acts(&world, &mut b) {
        assert_eq!(rejected(outcome), refused);
    }
    let config = Member::fresh_config("alpha.test", &mut Chance::from_seed([61; 32]));
    assert_eq!(rejected(b.update_config(&world, config)), refused);
    assert_eq!(rejected(b.external_commit_info(&world)), refused);
    let proposal = b.leaving();
    assert_eq!(rejected(b.self_remove(&world, proposal)), refused);
    // By the state that it still has, in the name of its old leaf, and of another's.
    let returning = b.resyncing(&info);
    assert_eq!(rejected(world.call::<Resync>(&returning, Some((leaf, &key)))), refused);
    let anothers = (c.leaf().0, &b.key);
    assert_eq!(rejected(world.call::<Resync>(&returning, Some(anothers))), refused);
    assert_eq!(world.group_rows(), before);

    // Nothing reaches its queue any more.
    a.send(&world, b"without b").unwrap();
    c.update(&world).unwrap();
    let arrived = world.delivered();
    assert!(!arrived.is_empty() && b.contents(&arrived).is_empty());
}

#[test]
fn t15_a_former_member_reads_no_state_that_later_joiners_get() {
    let world = world();
    let [mut a, b] = group(&world);
    let (package, key) = (b.reference(), b.key.clone());
    let commit = a.commit(Vec::new(), &[b.index()], 0).request;
    world.call::<RemoveUsers>(&commit, Some(a.leaf())).unwrap();
    a.merge();
    let mut c = Member::new(&world, "alpha.test");
    let adding = a.adding(&world, &mut [&mut c]);
    world.call::<AddUsers>(&adding, Some(a.leaf())).unwrap();
    let access = b.access.clone().unwrap();
    let sender = |package| phoenix_core::wire::Sender::KeyPackage(access.group.clone(), package);

    // Its own snapshot went with it; of a later one it is no joiner.
    let asked = WelcomeInfoRequest { access: access.clone(), epoch: Epoch(1), package };
    let outcome = world.call::<WelcomeInfo>(&asked, Some((sender(package), &key)));
    assert_eq!(rejected(outcome), Reject::NotFound);
    for package in [package, c.reference()] {
        let asked = WelcomeInfoRequest { access: access.clone(), epoch: Epoch(3), package };
        let outcome = world.call::<WelcomeInfo>(&asked, Some((sender(package), &key)));
        assert_eq!(rejected(outcome), Reject::Unauthenticated);
    }
}

#[test]
fn t15_who_has_left_or_whose_queue_is_gone_commits_nothing_while_it_waits_to_be_removed() {
    let world = world();
    let [mut a, mut b, mut c] = group(&world);
    a.send(&world, b"x").unwrap();
    let back = world.delivered().remove(0).back;
    for _ in 0..2 {
        world.tell_gone(&back, &[&c.config]);
        world.advance_s(HOUR + MINUTE);
    }
    a.update(&world).unwrap();
    let arrived = world.delivered();
    for it in [&mut b, &mut c] {
        it.follow(&arrived);
    }
    // What they could prepare before they are proposed, and after.
    let proposal = b.leaving();
    b.self_remove(&world, proposal).unwrap();
    b.forget_proposals();
    c.follow(&world.delivered());

    for member in [&mut b, &mut c] {
        for outcome in acts(&world, member) {
            assert_eq!(rejected(outcome), Reject::Forbidden);
        }
        let info = member.external_commit_info(&world).unwrap();
        let info = ExternalCommitInfoReply { proposals: List::default(), ..info };
        let (leaf, key) = (member.leaf().0, member.key.clone());
        let returning: CommitRequest = member.resyncing(&info);
        let outcome = world.call::<Resync>(&returning, Some((leaf, &key)));
        assert_eq!(rejected(outcome), Reject::Forbidden);
    }
}

#[test]
fn t15_a_message_of_an_epoch_before_its_sender_came_back_or_joined_is_refused() {
    let world = world();
    let [mut a, mut b] = group(&world);
    a.update(&world).unwrap();
    let old = b.message(b"from before");
    b.resync(&world).unwrap();
    world.delivered();

    let outcome = world.call::<crate::SendMessage>(&old, Some(b.leaf()));

    assert_eq!(rejected(outcome), Reject::Conflict(Some(3)));
    assert!(b.send(&world, b"from now").is_ok());
}
