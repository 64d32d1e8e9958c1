//! Members who do more than their role allows, with a DS that lets them, or break the group for others.

use std::time::Duration;

use openmls::prelude::{ExternalProposal, LeafNodeIndex, SenderExtensionIndex};
use phoenix_core::{
    GroupId, LeafIndex,
    api::delivery::{AddUsersRequest, CommitAad, CommitRequest, ContentKind, MAX_PROPOSALS, Mls},
    crypto::{Chance, SigningKey, Suite},
    port::Clock,
    wire::{List, Wire},
};

use super::{
    between::{Between, forge, invent, open},
    scene::{Scene, drain, given_up, reach, resynced, scene},
    support::{World, befriend, group_of, joined, play, text, until},
};
use crate::{
    Client, ClientError, Distrust, Event,
    group::{Act, Plan},
    mls::{encoding, leaf::OwnLeaf, mls_signer},
};

#[test]
fn t14_who_removes_without_being_admin_is_found_out_though_the_ds_lets_it() {
    play(&["alpha.test"], async |world| {
        let scene = scene(&world).await;
        let plan = Plan::Remove(vec![scene.a.user().clone()]);
        let made = commit_of(&scene.c, &scene.group, &plan).await;

        assert_found_out(&world, &scene, made).await;
    });
}

#[test]
fn t14_who_makes_itself_admin_is_found_out_though_the_ds_lets_it() {
    play(&["alpha.test"], async |world| {
        let scene = scene(&world).await;
        let plan = Plan::Roles(vec![scene.c.user().clone()], Vec::new());
        let made = commit_of(&scene.c, &scene.group, &plan).await;

        assert_found_out(&world, &scene, made).await;
    });
}

#[test]
fn t14_who_adds_without_being_admin_is_found_out_though_the_ds_lets_it() {
    play(&["alpha.test"], async |world| {
        let scene = scene(&world).await;
        let d = world.user("alpha.test").await;
        befriend(&scene.c, &d).await;
        let invitees = {
            let mut session = scene.c.lock().await;
            session.fetch_invitees(&scene.group, &[d.user().clone()]).await.expect("fetched")
        };
        let made = commit_of(&scene.c, &scene.group, &Plan::Add(invitees)).await;

        assert_found_out(&world, &scene, made).await;
    });
}

#[test]
fn t14_who_comes_into_a_group_by_itself_is_found_out_though_the_ds_lets_it() {
    play(&["alpha.test"], async |world| {
        let scene = scene(&world).await;
        // Carol has all that an external commit takes, and comes in a second time as somebody else.
        let made = {
            let mut session = scene.c.lock().await;
            let info = session.ask_for_state(&scene.group).await.expect("asked");
            let (now, mut chance) = (session.now(), Chance::from_seed([5; 32]));
            let identity = (&session.state.account.credential, session.signer.as_ref());
            let leaf = OwnLeaf::generate(Suite::Ed25519, identity, now, &mut chance).expect("a leaf");
            let made = session.external_commit(&scene.group, &info, &leaf, &CommitAad::default());
            made.expect("made").commit
        };

        assert_found_out(&world, &scene, made).await;
    });
}

#[test]
fn t14_only_the_ds_proposes_that_others_go_and_by_its_own_key() {
    play(&["alpha.test"], async |world| {
        let Scene { b, c, group, between, .. } = scene(&world).await;
        let [by_member, by_stranger] = false_removals(&b, &c, &group).await;
        for (proposal, leaf) in [(by_member, 2), (by_stranger.clone(), u32::MAX), (by_stranger, 0)] {
            let proposals: List<Mls, MAX_PROPOSALS> = List::new(vec![proposal]).expect("one");
            let made = (ContentKind::Proposal, LeafIndex(leaf));
            let made = invent(&b, &group, made, proposals.encode().to_vec()).await;
            between.push(&made, world.clock.now());
        }

        drain(&b).await;

        let mut session = b.lock().await;
        assert!(!session.mls(&group).expect("a group").0.has_pending_proposals());
    });
}

#[test]
fn t14_who_twice_commits_what_an_admin_cannot_process_is_removed() {
    play(&["alpha.test"], async |world| {
        let (c, (a, between)) = (world.user("alpha.test").await, Between::user(&world, "alpha.test").await);
        befriend(&a, &c).await;
        let group = group_of(&a, &c).await;
        c.update(&group).await.expect("updated");
        reach(&[&a], &group, c.epoch(&group).await.expect("a group")).await;
        let mut queue = between.take_over(&a).await;

        for number in 0..2 {
            c.update(&group).await.expect("updated");
            let (entry, mut content) = loop {
                let entries = queue.harvest(&a, &world, 1).await;
                let mut commits = Vec::new();
                for entry in entries {
                    let content = open(&a, &group, &entry).await;
                    let commit = content.filter(|content| content.kind == ContentKind::Commit);
                    commits.extend(commit.map(|content| (entry, content)));
                }
                if let Some(commit) = commits.pop() {
                    break commit;
                }
            };
            // What only members can check: the DS takes it, and so do not all of them.
            let mut message = content.message.to_vec();
            let tag = message.len() - 40;
            message[tag] ^= 1;
            content.message = phoenix_core::wire::Opaque::new(message).expect("as long");
            between.push(&forge(&a, &group, &entry, &content).await, world.clock.now());
            until(&a, resynced).await;
            // The rest between two times that it comes back.
            world.clock.sleep_until(world.clock.now().plus_millis(1_500)).await;
            if number == 0 {
                reach(&[&c], &group, a.epoch(&group).await.expect("a group")).await;
            }
        }

        until(&c, |event| matches!(event, Event::Removed { .. }).then_some(())).await;
        assert_eq!(a.members(&group).await.expect("members").len(), 1);
    });
}

#[test]
fn t14_who_gets_the_leaf_of_an_admin_is_no_admin() {
    play(&["alpha.test"], async |world| {
        let (a, b, c) =
            (world.user("alpha.test").await, world.user("alpha.test").await, world.user("alpha.test").await);
        befriend(&a, &b).await;
        befriend(&c, &b).await;
        let group = group_of(&a, &b).await;
        b.update(&group).await.expect("updated");
        reach(&[&a], &group, b.epoch(&group).await.expect("a group")).await;
        a.promote(&group, &[b.user().clone()]).await.expect("promoted");
        a.leave(&group).await.expect("left");
        while b.members(&group).await.expect("members").len() > 1 {
            b.sync(Duration::from_secs(1)).await.expect("synced");
        }
        until(&a, |event| matches!(event, Event::Removed { .. }).then_some(())).await;

        b.invite(&group, &[c.user().clone()]).await.expect("invited");
        until(&c, joined).await;

        let members = b.members(&group).await.expect("members");
        let first = members.iter().find(|it| it.leaf == LeafIndex(0)).expect("taken again");
        assert_eq!((first.user.as_ref(), first.admin), (Some(c.user()), false));
        let refused = c.remove(&group, &[b.user().clone()]).await.expect_err("refused");
        assert_eq!(refused.code(), Some(phoenix_core::ErrorCode::Forbidden));
        b.send(&group, "welcome").await.expect("sent");
        assert_eq!(until(&c, text).await, "welcome");
    });
}

/// Proposals that the first leaf goes: by a plain member, and by somebody who says that it is the DS.
pub(crate) async fn false_removals(client: &Client, member: &Client, group: &GroupId) -> [Mls; 2] {
    let by_member = {
        let mut session = member.lock().await;
        let signer = mls_signer(&session.group(group).expect("a group").leaf.key);
        let (mls_group, provider) = session.mls(group).expect("a group");
        let made = mls_group.propose_remove_member(provider, &signer, LeafNodeIndex::new(0));
        encoding::message(&made.expect("made").0).expect("encoded")
    };
    let mut session = client.lock().await;
    let key = SigningKey::generate(Suite::Ed25519, &mut Chance::from_seed([5; 32]));
    let (mls_group, _) = session.mls(group).expect("a group");
    let made = ExternalProposal::new_remove::<crate::mls::provider::Provider>(
        LeafNodeIndex::new(0),
        mls_group.group_id().clone(),
        mls_group.epoch(),
        &mls_signer(&key),
        SenderExtensionIndex::new(0),
    );
    [by_member, encoding::message(&made.expect("made")).expect("encoded")]
}

/// Bob is given Carol's commit, which the DS should never have accepted.
async fn assert_found_out(world: &World, scene: &Scene, commit: Mls) {
    assert_caught(world, scene, &scene.c, commit).await;
}

/// The same, of whoever committed it.
pub(crate) async fn assert_caught(world: &World, scene: &Scene, committer: &Client, commit: Mls) {
    let Scene { b, group, between, .. } = scene;
    let leaf = b.lock().await.leaves_of(group, &[committer.user().clone()]).expect("a group")[0];
    let made = invent(b, group, (ContentKind::Commit, leaf), commit.to_vec()).await;
    between.push(&made, world.clock.now());

    let mut violators = Vec::new();
    let cause = until(b, |event| {
        if let Event::RoleViolated { leaf, .. } = event {
            violators.push(*leaf);
        }
        given_up(event)
    })
    .await;

    assert_eq!((violators, cause), (vec![leaf], Distrust::RoleViolated));
    let refused = b.send(group, "to whom?").await.expect_err("refused");
    assert!(matches!(refused, ClientError::State(_)), "{refused:?}");
}

/// The commit of a plan, as a client that forgets its own role makes it.
async fn commit_of(client: &Client, group: &GroupId, plan: &Plan) -> Mls {
    let mut session = client.lock().await;
    let sent = session.make_commit(group, plan).expect("made").expect("something to do");
    match sent.act {
        Act::Add => AddUsersRequest::decode(&sent.body).expect("a request").commit,
        _ => CommitRequest::decode(&sent.body).expect("a request").commit,
    }
}
