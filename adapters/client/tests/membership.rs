//! Members come, go, change roles and say things to one or about one; what a client keeps at its QS changes.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod support;

use std::time::Duration;

use phoenix_client::{Audience, Client, ClientError, Event};
use phoenix_core::{
    ErrorCode, GroupId, LeafIndex,
    api::{
        delivery::{MAX_BATCH_KEYS, ReportReason},
        queue::{ConfigRule, FormerTokens},
    },
    port::{AbuseReport, Clock},
};

use support::{World, befriend, joined, play, text, texts, until};

#[test]
fn who_leaves_is_gone_once_another_commits_and_reads_no_more() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b, c, group) = trio(&world).await;

        b.leave(&group).await.expect("left");

        assert!(b.send(&group, "one more thing").await.is_err());
        // Nobody asks Alice for it: her client does so by itself.
        until(&a, |event| {
            matches!(event, Event::MemberRemoved { user, .. } if user == b.user()).then_some(())
        })
        .await;
        until(&b, |event| matches!(event, Event::Removed { .. }).then_some(())).await;
        a.send(&group, "without him").await.expect("sent");
        assert_eq!(until(&c, text).await, "without him");
        let late = b.sync(Duration::from_secs(1)).await.expect("synced");
        assert!(late.iter().all(|event| text(event).is_none()), "{late:?}");
    });
}

#[test]
fn friends_of_more_homeservers_than_one_commit_takes_are_invited_by_several() {
    // given friends of more homeservers than the DS asks for keys for one commit
    let domains: Vec<String> = (0..=MAX_BATCH_KEYS).map(|number| format!("h{number}.test")).collect();
    let domains: Vec<&str> = domains.iter().map(String::as_str).collect();
    play(&domains, async |world| {
        let a = world.user(domains[0]).await;
        let mut friends = Vec::new();
        for domain in &domains {
            let friend = world.user(domain).await;
            befriend(&a, &friend).await;
            friends.push(friend);
        }
        let users: Vec<_> = friends.iter().map(|friend| friend.user().clone()).collect();
        let group = a.create_group().await.expect("created");

        // when all are invited at once
        a.invite(&group, &users).await.expect("invited");

        // then all join, and whoever is invited again stays as they are
        for friend in &friends {
            until(friend, joined).await;
        }
        a.invite(&group, &users).await.expect("all are there");
        assert_eq!(a.members(&group).await.expect("members").len(), friends.len() + 1);
        assert_eq!(a.epoch(&group).await.expect("a group").0, 2, "by two commits");
    });
}

#[test]
fn admins_are_made_and_unmade_and_one_stays() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b, c, group) = trio(&world).await;
        let refused = b.remove(&group, &[c.user().clone()]).await.expect_err("no admin");
        assert_eq!(refused.code(), Some(ErrorCode::Forbidden));

        a.promote(&group, &[b.user().clone()]).await.expect("promoted");
        until(&b, |event| matches!(event, Event::EpochChanged { .. }).then_some(())).await;
        b.demote(&group, &[a.user().clone()]).await.expect("demoted");

        assert!(b.demote(&group, &[b.user().clone()]).await.is_err());
        b.remove(&group, &[c.user().clone()]).await.expect("removed");
        let members = b.members(&group).await.expect("members");
        let admins: Vec<_> = members.iter().filter(|it| it.admin).map(|it| it.user.clone()).collect();
        assert_eq!(admins, [Some(b.user().clone())]);
    });
}

#[test]
fn a_message_to_one_is_read_by_that_one_and_says_so() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b, c, group) = trio(&world).await;

        a.send_to(&group, b.user(), "between us").await.expect("sent");
        a.send(&group, "to all").await.expect("sent");
        a.send_ephemeral(&group, "typing").await.expect("sent");

        let audience = until(&b, |event| match event {
            Event::Message(message) => Some((message.text.clone(), message.audience)),
            _ => None,
        });
        assert_eq!(audience.await, ("between us".into(), Audience::Us));
        assert_eq!(texts(&c, 1).await, ["to all"]);
        let stranger = world.user("alpha.test").await;
        assert!(a.send_to(&group, stranger.user(), "who?").await.is_err());
    });
}

#[test]
fn members_read_each_others_profiles_by_keys_that_the_group_was_given() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b, _, group) = trio(&world).await;
        assert!(b.member_profile(&group, a.user()).await.is_err());

        for version in ["Alice", "Alice B."] {
            a.update_profile(version.as_bytes()).await.expect("published");
            a.share_profile(&group).await.expect("shared");
            until(&b, |event| matches!(event, Event::ProfileChanged { .. }).then_some(())).await;
            let profile = b.member_profile(&group, a.user()).await.expect("read");
            assert_eq!(profile, version.as_bytes());
        }
    });
}

#[test]
fn a_member_is_reported_and_a_group_is_ended() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b, c, group) = trio(&world).await;
        let members = a.members(&group).await.expect("members");
        let leaf = members.iter().find(|it| it.user.as_ref() == Some(b.user())).expect("there").leaf;
        a.report(&group, leaf, ReportReason::Spam, b"again and again").await.expect("reported");
        let nobody = a.report(&group, LeafIndex(9), ReportReason::Spam, b"again").await;
        assert_eq!(nobody, Err(ClientError::State("no such member")));
        let reports = reports(&world).await;
        let [AbuseReport { group: of, accused, reporter, reason, evidence, .. }] = &reports[..] else {
            panic!("{reports:?}");
        };
        assert_eq!((of, *reason, &evidence[..]), (&group, ReportReason::Spam, &b"again and again"[..]));
        assert_ne!(accused, reporter);
        let refused = c.delete_group(&group).await.expect_err("no admin");
        assert_eq!(refused.code(), Some(ErrorCode::Forbidden));

        a.delete_group(&group).await.expect("ended");

        until(&b, |event| matches!(event, Event::Removed { .. }).then_some(())).await;
        assert!(!a.groups().await.contains(&group));
        assert!(b.send(&group, "anyone?").await.is_err());
    });
}

#[test]
fn who_was_removed_meanwhile_is_not_made_admin() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b, c, group) = trio(&world).await;
        a.promote(&group, &[c.user().clone()]).await.expect("promoted");
        until(&c, |event| matches!(event, Event::EpochChanged { .. }).then_some(())).await;
        a.remove(&group, &[b.user().clone()]).await.expect("removed");

        let refused = c.promote(&group, &[b.user().clone()]).await;

        assert_eq!(refused, Err(ClientError::State("no such member")));
    });
}

#[test]
fn a_group_that_was_blocked_is_not_heard_and_come_back_into_when_it_is_freed() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b, _, group) = trio(&world).await;
        b.rule_group(&group, ConfigRule::Blocked).await.expect("blocked");
        a.send(&group, "unheard").await.expect("sent");
        a.update(&group).await.expect("updated");
        let events = b.sync(Duration::from_secs(1)).await.expect("synced");
        assert!(events.iter().all(|event| text(event).is_none()), "{events:?}");

        b.rule_group(&group, ConfigRule::Free).await.expect("freed");

        // Nobody says anything that would tell it.
        until(&b, |event| matches!(event, Event::Resynced { .. }).then_some(())).await;
        b.send(&group, "back").await.expect("sent");
        assert_eq!(until(&a, text).await, "back");
    });
}

#[test]
fn friends_learn_rotated_keys_and_invite_by_them() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        befriend(&a, &b).await;

        b.rotate_friendship(FormerTokens::Revoked).await.expect("rotated");
        until(&a, |event| matches!(event, Event::EpochChanged { .. }).then_some(())).await;

        let group = a.create_group().await.expect("created");
        a.invite(&group, &[b.user().clone()]).await.expect("invited");
        assert_eq!(until(&b, joined).await, *a.user());
        let record = b.queue_record().await.expect("read");
        assert_eq!(record.clients.len(), 1);
        b.delete_queue().await.expect("ended");
        assert!(b.queue_record().await.is_err());
    });
}

#[test]
fn in_the_grace_of_a_rotated_token_a_friend_that_has_not_heard_of_it_invites_all_the_same() {
    play(&["alpha.test", "beta.test"], async |world| {
        // given friends, of whom one rotates its token while the other does not listen
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        befriend(&a, &b).await;
        b.rotate_friendship(FormerTokens::Grace).await.expect("rotated");

        // when that one invites, then the other joins
        let group = a.create_group().await.expect("created");
        a.invite(&group, &[b.user().clone()]).await.expect("invited by the former token");
        assert_eq!(until(&b, joined).await, *a.user());

        // and so it is once it has heard of the new one
        until(&a, |event| matches!(event, Event::EpochChanged { .. }).then_some(())).await;
        let group = a.create_group().await.expect("created");
        a.invite(&group, &[b.user().clone()]).await.expect("invited by the new token");
        assert_eq!(until(&b, joined).await, *a.user());
    });
}

/// What the operator of the first homeserver got, which is handed on beside the call.
async fn reports(world: &World) -> Vec<AbuseReport> {
    for _ in 0..100 {
        let reports = world.admin("alpha.test").reports();
        if !reports.is_empty() {
            return reports;
        }
        world.clock.sleep_until(world.clock.now().plus_millis(20)).await;
    }
    panic!("no report came");
}

/// Three members of a group of the first of them.
async fn trio(world: &World) -> (Client, Client, Client, GroupId) {
    let (a, b, c) =
        (world.user("alpha.test").await, world.user("beta.test").await, world.user("beta.test").await);
    befriend(&a, &b).await;
    befriend(&a, &c).await;
    let group = a.create_group().await.expect("created");
    a.invite(&group, &[b.user().clone(), c.user().clone()]).await.expect("invited");
    until(&b, joined).await;
    until(&c, joined).await;
    (a, b, c, group)
}
