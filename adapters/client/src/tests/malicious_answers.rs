//! A DS that answers calls with what was never so: states, proposals, receipts.

use phoenix_core::{
    Epoch, ErrorCode, ErrorReply, LeafIndex,
    api::delivery::{
        CommitAccepted, ContentKind, ExternalCommitInfoReply, MAX_PROPOSALS, MAX_TREE, Mls, WelcomeInfoReply,
    },
    port::Clock,
    wire::{List, Opaque, Wire},
};

use super::{
    between::{Between, invent},
    malicious_members::false_removals,
    scene::{Scene, drain, health, kind, pass, resynced, scene},
    support::{befriend, joined, play, text, until},
};
use crate::{ClientError, Event, group::Health};

#[test]
fn t13_commits_that_nobody_made_are_asked_about_and_change_nothing() {
    play(&["alpha.test"], async |world| {
        let Scene { a, b, group, between, mut queue, .. } = scene(&world).await;
        let (epoch, before) =
            (b.epoch(&group).await.expect("a group"), between.calls("external_commit_info"));
        for number in 1..50 {
            let accepted = CommitAccepted { epoch: Epoch(epoch.0 + number), hash: [9; 32] };
            let content = (ContentKind::CommitAccepted, LeafIndex(0));
            let made = invent(&b, &group, content, accepted.encode().to_vec()).await;
            between.push(&made, world.clock.now());
        }

        drain(&b).await;

        let asked = between.calls("external_commit_info") - before;
        assert!((1..=5).contains(&asked), "{asked}");
        assert_eq!(between.calls("resync"), 0);
        assert_eq!((b.epoch(&group).await, health(&b, &group).await), (Ok(epoch), Health::Sound));
        a.send(&group, "all well").await.expect("sent");
        pass(&world, &b, &between, &mut queue, 1).await;
        assert_eq!(until(&b, text).await, "all well");
    });
}

#[test]
fn t13_a_commit_of_our_own_that_is_said_to_be_accepted_twice_counts_once() {
    play(&["alpha.test"], async |world| {
        let Scene { a, b, group, between, mut queue, .. } = scene(&world).await;
        b.update(&group).await.expect("updated");
        let entries = queue.harvest(&b, &world, 1).await;
        let mut receipts = Vec::new();
        for entry in entries {
            if kind(&b, &group, &entry).await == Some(ContentKind::CommitAccepted) {
                receipts.push(entry);
            }
        }
        assert_eq!(receipts.len(), 1);
        let epoch = b.epoch(&group).await;
        drain(&b).await;

        for _ in 0..5 {
            between.push(&receipts[0], world.clock.now());
        }
        let events = drain(&b).await;

        assert_eq!(events, Vec::new());
        assert_eq!((b.epoch(&group).await, health(&b, &group).await), (epoch, Health::Sound));
        until(&a, |event| matches!(event, Event::EpochChanged { .. }).then_some(())).await;
        assert_eq!(a.epoch_authenticator(&group).await, b.epoch_authenticator(&group).await);
    });
}

#[test]
fn t14_proposals_that_are_said_to_wait_are_believed_only_from_those_who_may_make_them() {
    play(&["alpha.test"], async |world| {
        let Scene { a, b, c, group, between, .. } = scene(&world).await;
        let epoch = b.epoch(&group).await;
        let forged = false_removals(&b, &c, &group).await;
        let mut lies: Vec<_> = forged.into_iter().map(|proposal| details(&[proposal])).collect();
        lies.extend([Vec::new(), vec![0xff; 300], details(&[Opaque::new(vec![7; 60]).expect("short")])]);
        for detail in lies {
            let before = between.calls("update_client");
            let code = ErrorCode::PendingProposals;
            let reply = ErrorReply { code, retry_after_s: None, detail: Opaque::new(detail).expect("short") };
            between.answer(move |name, _| (name == "update_client").then(|| Err(reply.clone())));

            b.update(&group).await.expect_err("not accepted");

            let habits = super::support::settings("alpha.test").habits;
            assert!(between.calls("update_client") - before <= usize::from(habits.commits));
            let mut session = b.lock().await;
            assert!(!session.mls(&group).expect("a group").0.has_pending_proposals());
        }

        between.be_honest();
        assert_eq!(b.epoch(&group).await, epoch);
        b.update(&group).await.expect("updated");
        b.send(&group, "all there").await.expect("sent");
        assert_eq!(until(&a, text).await, "all there");
        assert_eq!(b.members(&group).await.expect("members").len(), 3);
    });
}

#[test]
fn t20_a_tree_of_blank_nodes_or_of_none_is_refused_by_who_joins_and_by_who_comes_back() {
    play(&["alpha.test"], async |world| {
        let Scene { a, b, group, between, mut queue, .. } = scene(&world).await;
        a.update(&group).await.expect("updated");
        a.send(&group, "missed").await.expect("sent");
        for entry in queue.harvest(&b, &world, 2).await {
            if kind(&b, &group, &entry).await != Some(ContentKind::Commit) {
                between.push(&entry, world.clock.now());
            }
        }
        let (d, joining) = Between::user(&world, "alpha.test").await;
        befriend(&a, &d).await;

        for tree in [vec![0; MAX_TREE - 16], vec![0; 4_000], vec![0xff; 1_000], Vec::new()] {
            let tree = Opaque::<MAX_TREE>::new(tree).expect("as long as may be");
            let tree = Opaque::<MAX_TREE>::new(tree.encode().to_vec()).expect("as long as may be");
            let of_joiner = tree.clone();
            joining.lie(move |name, _, reply| {
                (name == "welcome_info").then(|| {
                    let reply = WelcomeInfoReply::decode(reply).expect("a reply");
                    WelcomeInfoReply { tree: of_joiner.clone(), ..reply }.encode()
                })
            });
            between.lie(move |name, _, reply| {
                (name == "external_commit_info").then(|| {
                    let reply = ExternalCommitInfoReply::decode(reply).expect("a reply");
                    ExternalCommitInfoReply { tree: tree.clone(), ..reply }.encode()
                })
            });
            let other = a.create_group().await.expect("created");
            a.invite(&other, &[d.user().clone()]).await.expect("invited");

            until(&d, |event| matches!(event, Event::InvitationRefused).then_some(())).await;
            let events = drain(&b).await;
            assert!(events.iter().all(|event| resynced(event).is_none()), "{events:?}");
            let refused = b.send(&group, "to whom?").await.expect_err("not back");
            assert!(!refused.is_transient() && !matches!(refused, ClientError::Outrun), "{refused:?}");
        }

        between.be_honest();
        joining.be_honest();
        let other = a.create_group().await.expect("created");
        a.invite(&other, &[d.user().clone()]).await.expect("invited");
        assert_eq!(until(&d, joined).await, *a.user());
        b.send(&group, "back").await.expect("sent");
        assert_eq!(until(&a, text).await, "back");
    });
}

/// What goes with `pending_proposals`.
fn details(proposals: &[Mls]) -> Vec<u8> {
    let proposals: List<Mls, MAX_PROPOSALS> = List::new(proposals.to_vec()).expect("few");
    proposals.encode().to_vec()
}
