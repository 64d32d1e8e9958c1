//! A DS that drops, reorders, replays, forges, goes back or shows two histories does not make a client accept what it
//! should not, nor keep it busy.

use phoenix_core::{
    Epoch, ErrorReply, GroupId, LeafIndex, Refusal, Reject,
    api::{
        delivery::{
            Accepted, ContentKind, ExternalCommitInfoReply, MAX_PROPOSALS, Mls, ProfileKeyUpdated, Roster,
            WelcomeInfoReply,
        },
        queue::Entry,
    },
    port::Clock,
    wire::{List, Opaque, Wire},
};

use super::{
    between::{Between, forge, invent, open},
    scene::{Scene, drain, given_up, health, kind, pass, reach, relay, resynced, scene},
    support::{befriend, joined, play, text, texts, until},
};
use crate::{Client, ClientError, Distrust, Event, group::Health};

#[test]
fn t13_a_member_that_a_commit_is_kept_from_comes_back_and_reads_on() {
    play(&["alpha.test"], async |world| {
        let Scene { a, b, group, between, mut queue, .. } = scene(&world).await;

        a.update(&group).await.expect("updated");
        a.send(&group, "missed").await.expect("sent");
        for entry in queue.harvest(&b, &world, 2).await {
            if kind(&b, &group, &entry).await != Some(ContentKind::Commit) {
                between.push(&entry, world.clock.now());
            }
        }

        until(&b, resynced).await;
        reach(&[&a], &group, b.epoch(&group).await.expect("a group")).await;
        a.send(&group, "and on").await.expect("sent");
        assert_eq!(relay(&world, (&b, &between, &mut queue), text).await, "and on");
        b.send(&group, "back").await.expect("sent");
        assert_eq!(until(&a, text).await, "back");
        assert_eq!(a.epoch_authenticator(&group).await, b.epoch_authenticator(&group).await);
    });
}

#[test]
fn t13_commits_and_messages_in_a_wrong_order_fork_nobody() {
    play(&["alpha.test"], async |world| {
        let Scene { a, b, group, between, mut queue, .. } = scene(&world).await;

        for number in 0..3 {
            a.update(&group).await.expect("updated");
            a.send(&group, number.to_string()).await.expect("sent");
        }
        let mut entries = queue.harvest(&b, &world, 6).await;
        entries.reverse();
        entries.iter().for_each(|entry| between.push(entry, world.clock.now()));

        until(&b, resynced).await;
        reach(&[&a], &group, b.epoch(&group).await.expect("a group")).await;
        a.send(&group, "in order").await.expect("sent");
        assert_eq!(relay(&world, (&b, &between, &mut queue), text).await, "in order");
    });
}

#[test]
fn t13_what_is_played_again_changes_nothing_and_is_shown_once() {
    play(&["alpha.test"], async |world| {
        let Scene { a, b, group, between, mut queue, .. } = scene(&world).await;

        a.send(&group, "once").await.expect("sent");
        a.update(&group).await.expect("updated");
        a.send(&group, "twice?").await.expect("sent");
        let entries = queue.harvest(&b, &world, 3).await;
        for entry in entries.iter().chain(&entries).chain(entries.iter().rev()) {
            between.push(entry, world.clock.now());
        }

        let events = drain(&b).await;
        assert_eq!(events.iter().filter_map(text).collect::<Vec<_>>(), ["once", "twice?"]);
        let epochs = events.iter().filter(|event| matches!(event, Event::EpochChanged { .. })).count();
        assert_eq!(epochs, 1);
        assert_eq!(health(&b, &group).await, Health::Sound);
        assert_eq!(a.epoch(&group).await, b.epoch(&group).await);
    });
}

#[test]
fn t13_an_invitation_that_is_played_again_takes_nobody_back() {
    play(&["alpha.test"], async |world| {
        let (a, (b, between)) = (world.user("alpha.test").await, Between::user(&world, "alpha.test").await);
        befriend(&a, &b).await;
        // Until only the last-resort package is left, whose keys stay.
        drain(&b).await;
        let mut queue = between.take_over(&b).await;
        let (group, welcome) = loop {
            let group = a.create_group().await.expect("created");
            a.invite(&group, &[b.user().clone()]).await.expect("invited");
            let packages: Vec<_> = b.lock().await.state.packages.keys().copied().collect();
            let is_welcome = |entry: &&Entry| packages.contains(&entry.config);
            let welcome = loop {
                let entries = queue.harvest(&b, &world, 1).await;
                entries.iter().for_each(|entry| between.push(entry, world.clock.now()));
                if let Some(welcome) = entries.iter().find(is_welcome) {
                    break welcome.clone();
                }
            };
            until(&b, joined).await;
            if b.lock().await.group(&group).expect("a group").is_leaf_shared.is_set() {
                break (group, welcome);
            }
        };
        b.update(&group).await.expect("updated");
        a.remove(&group, &[b.user().clone()]).await.expect("removed");
        let removed = |event: &Event| matches!(event, Event::Removed { .. }).then_some(());
        relay(&world, (&b, &between, &mut queue), removed).await;

        between.push(&welcome, world.clock.now());

        until(&b, |event| matches!(event, Event::InvitationRefused).then_some(())).await;
        assert!(b.send(&group, "again").await.is_err());
    });
}

#[test]
fn t13_what_nobody_said_is_not_believed_whatever_it_claims_to_be() {
    play(&["alpha.test"], async |world| {
        let Scene { a, b, group, between, .. } = scene(&world).await;
        let before = b.epoch(&group).await;
        let kinds = [
            ContentKind::Commit,
            ContentKind::Proposal,
            ContentKind::Application,
            ContentKind::Targeted,
            ContentKind::ProfileKey,
            ContentKind::CommitAccepted,
            ContentKind::ConfigEnds,
        ];
        let pseudonym = b.lock().await.group(&group).expect("a group").leaf.credential.pseudonym;
        let profile =
            ProfileKeyUpdated { member: pseudonym, profile_key: Opaque::new(vec![1; 64]).expect("short") };
        let proposals: List<Mls, MAX_PROPOSALS> =
            List::new(vec![Opaque::new(vec![9; 40]).expect("short")]).expect("one");
        let contents =
            [Vec::new(), vec![0; 1], vec![0xff; 300], profile.encode().to_vec(), proposals.encode().to_vec()];
        for kind in kinds {
            for content in &contents {
                for leaf in [0, 1, 7, u32::MAX] {
                    let made = invent(&b, &group, (kind, LeafIndex(leaf)), content.clone()).await;
                    between.push(&made, world.clock.now());
                }
            }
        }

        let events = drain(&b).await;

        assert!(events.iter().all(|event| matches!(event, Event::Undecryptable { .. })), "{events:?}");
        assert_eq!(b.epoch(&group).await, before);
        assert_eq!(health(&b, &group).await, Health::Sound);
        // It asked what the DS has, found it as it was, and had no need to come back.
        assert_eq!(between.calls("resync"), 0);
        b.send(&group, "all well").await.expect("sent");
        assert_eq!(until(&a, text).await, "all well");
    });
}

#[test]
fn t13_a_group_that_goes_back_is_given_up() {
    play(&["alpha.test"], async |world| {
        let Scene { a, b, group, between, mut queue, .. } = scene(&world).await;
        let old = state_of(&b, &group).await;
        for _ in 0..2 {
            a.update(&group).await.expect("updated");
        }
        pass(&world, &b, &between, &mut queue, 2).await;
        drain(&b).await;

        let old = old.encode();
        between.lie(move |name, _, _| (name == "external_commit_info").then(|| old.clone()));
        between.claim(Some(u64::MAX), 0);

        let cause = until(&b, given_up).await;
        assert_eq!(cause, Distrust::WentBack);
        let refused = b.send(&group, "to whom?").await.expect_err("refused");
        assert!(matches!(refused, ClientError::State(_)), "{refused:?}");
        assert_eq!(between.calls("resync"), 0);
    });
}

#[test]
fn t13_members_who_are_shown_two_histories_find_out() {
    play(&["alpha.test"], async |world| {
        let Scene { a, b, group, between, mut queue, .. } = scene(&world).await;
        let epoch = b.epoch(&group).await.expect("a group");

        // Bob's commit is answered as accepted, and Alice's is what the others get.
        between.answer(move |name, _| {
            let accepted = Accepted { epoch: Epoch(epoch.0 + 1), delayed: List::default() };
            (name == "update_client").then(|| Ok(accepted.encode()))
        });
        b.update(&group).await.expect("as far as he knows");
        between.be_honest();
        a.update(&group).await.expect("updated");
        a.send(&group, "for the others").await.expect("sent");
        assert_eq!(a.epoch(&group).await, b.epoch(&group).await);
        assert_ne!(a.epoch_authenticator(&group).await, b.epoch_authenticator(&group).await);

        // Even where only one of the two comes to Bob.
        for entry in queue.harvest(&b, &world, 2).await {
            if kind(&b, &group, &entry).await == Some(ContentKind::Commit) {
                between.push(&entry, world.clock.now());
            }
        }

        assert_eq!(until(&b, given_up).await, Distrust::Forked);
        assert!(b.send(&group, "to whom?").await.is_err());
    });
}

#[test]
fn t13_a_message_of_the_other_history_gives_it_away() {
    play(&["alpha.test"], async |world| {
        let Scene { a, b, group, between, mut queue, .. } = scene(&world).await;
        let epoch = b.epoch(&group).await.expect("a group");
        between.answer(move |name, _| {
            let accepted = Accepted { epoch: Epoch(epoch.0 + 1), delayed: List::default() };
            (name == "update_client").then(|| Ok(accepted.encode()))
        });
        b.update(&group).await.expect("as far as he knows");
        between.be_honest();
        a.update(&group).await.expect("updated");
        a.send(&group, "for the others").await.expect("sent");

        for entry in queue.harvest(&b, &world, 2).await {
            if kind(&b, &group, &entry).await == Some(ContentKind::Application) {
                between.push(&entry, world.clock.now());
            }
        }

        assert_eq!(until(&b, given_up).await, Distrust::Forked);
    });
}

#[test]
fn t13_a_commit_that_loses_every_race_ends_without_keeping_the_client_busy() {
    play(&["alpha.test"], async |world| {
        let Scene { b, group, between, .. } = scene(&world).await;
        let before = (between.calls("update_client"), between.calls("dequeue"));
        between.answer(|name, _| {
            let conflict = ErrorReply::from(Refusal::from(Reject::Conflict(Some(u64::MAX))));
            (name == "update_client").then_some(Err(conflict))
        });

        let lost = b.update(&group).await;

        assert_eq!(lost, Err(ClientError::Outrun));
        assert_eq!(between.calls("update_client") - before.0, 1);
        assert!(between.calls("dequeue") - before.1 < 100);
    });
}

#[test]
fn t13_who_is_told_between_two_tries_that_it_is_no_member_makes_no_other_commit() {
    play(&["alpha.test"], async |world| {
        let Scene { b, group, between, .. } = scene(&world).await;
        let epoch = b.epoch(&group).await.expect("a group");
        let garbage = invent(&b, &group, (ContentKind::Commit, LeafIndex(0)), vec![9; 40]).await;
        between.push(&garbage, world.clock.now());
        let before = between.calls("update_client");
        between.answer(move |name, _| {
            let reject = match name {
                "update_client" => Reject::Conflict(Some(epoch.0 + 1)),
                "external_commit_info" => Reject::Forbidden,
                _ => return None,
            };
            Some(Err(ErrorReply::from(Refusal::from(reject))))
        });

        let lost = b.update(&group).await;

        assert_eq!(lost, Err(ClientError::State("not a member any more")));
        assert_eq!(between.calls("update_client") - before, 1);
    });
}

#[test]
fn t13_garbage_for_commits_makes_the_client_ask_less_each_time() {
    play(&["alpha.test"], async |world| {
        let Scene { b, group, between, .. } = scene(&world).await;
        let before = between.calls("external_commit_info");
        for number in 0..200_u32 {
            let garbage = number.to_be_bytes().repeat(9);
            let made = invent(&b, &group, (ContentKind::Commit, LeafIndex(0)), garbage).await;
            between.push(&made, world.clock.now());
        }

        drain(&b).await;

        let asked = between.calls("external_commit_info") - before;
        assert!((1..=5).contains(&asked), "{asked}");
        assert_eq!(between.calls("resync"), 0);
    });
}

#[test]
fn t14_a_message_under_another_name_or_for_others_is_not_shown() {
    play(&["alpha.test"], async |world| {
        let Scene { a, b, c, group, between, mut queue, .. } = scene(&world).await;
        a.send(&group, "to all").await.expect("sent");
        a.send_to(&group, b.user(), "to Bob").await.expect("sent");
        let entries = queue.harvest(&b, &world, 2).await;
        for entry in &entries {
            let content = open(&b, &group, entry).await.expect("the group's");
            let mut renamed = content.clone();
            renamed.sender = LeafIndex(2);
            let mut passed_on = content.clone();
            passed_on.kind = match content.kind {
                ContentKind::Application => ContentKind::Targeted,
                _ => ContentKind::Application,
            };
            for content in [renamed, passed_on] {
                between.push(&forge(&b, &group, entry, &content).await, world.clock.now());
            }
        }

        let events = drain(&b).await;

        assert!(events.iter().all(|event| text(event).is_none()), "{events:?}");
        assert!(events.iter().any(|event| matches!(event, Event::Undecryptable { .. })), "{events:?}");
        // What is for Bob alone, Carol does not show as hers.
        let said = texts(&c, 1).await;
        assert_eq!(said, ["to all"]);
    });
}

#[test]
fn t14_a_message_for_one_member_is_not_another_ones() {
    play(&["alpha.test"], async |world| {
        let Scene { a, b, c, group, between, .. } = scene(&world).await;
        let theirs = a.lock().await.leaves_of(&group, &[c.user().clone()]).expect("a group")[0];
        // Alice says it to Carol, and the DS sends it to Bob.
        let sent = targeted(&a, &group, theirs).await;
        let made = invent(&b, &group, (ContentKind::Targeted, LeafIndex(0)), sent).await;
        between.push(&made, world.clock.now());

        let events = drain(&b).await;

        assert!(events.iter().all(|event| text(event).is_none()), "{events:?}");
    });
}

#[test]
fn t16_members_that_nobody_vouches_for_are_shown_as_nobody_and_written_to_by_nobody() {
    play(&["alpha.test"], async |world| {
        let (a, (b, between)) = (world.user("alpha.test").await, Between::user(&world, "alpha.test").await);
        befriend(&a, &b).await;
        // The keys of the members' links are other ones, or somebody else's.
        between.lie(|name, _, reply| {
            (name == "welcome_info").then(|| {
                let mut info = WelcomeInfoReply::decode(reply).expect("a reply");
                let mut members = info.roster.members.to_vec();
                members.iter_mut().for_each(|it| it.keys.link_key = Opaque::new(vec![7; 60]).expect("short"));
                info.roster = Roster { members: List::new(members).expect("few") };
                info.encode()
            })
        });
        let group = a.create_group().await.expect("created");
        a.invite(&group, &[b.user().clone()]).await.expect("invited");

        until(&b, |event| matches!(event, Event::Unverified { .. }).then_some(())).await;

        let refused = b.send(&group, "who are you?").await;
        assert_eq!(refused.map(|_| ()), Err(ClientError::State("a member does not prove who it is")));
        a.send(&group, "hello").await.expect("sent");
        let events = drain(&b).await;
        assert!(events.iter().all(|event| text(event).is_none()), "{events:?}");
        let shown = b.members(&group).await.expect("members");
        assert!(shown.iter().all(|it| it.user.as_ref() != Some(a.user())), "{shown:?}");
    });
}

#[test]
fn t13_a_joiner_refuses_the_state_of_another_group_or_epoch() {
    play(&["alpha.test"], async |world| {
        let (a, (b, between)) = (world.user("alpha.test").await, Between::user(&world, "alpha.test").await);
        befriend(&a, &b).await;
        let first = a.create_group().await.expect("created");
        a.invite(&first, &[b.user().clone()]).await.expect("invited");
        let taken = std::sync::Arc::new(std::sync::Mutex::new(None::<bytes::Bytes>));
        let kept = taken.clone();
        between.lie(move |name, _, reply| {
            (name == "welcome_info")
                .then(|| kept.lock().expect("no panic").get_or_insert_with(|| reply.clone()).clone())
        });
        until(&b, joined).await;

        let second = a.create_group().await.expect("created");
        a.invite(&second, &[b.user().clone()]).await.expect("invited");

        until(&b, |event| matches!(event, Event::InvitationRefused).then_some(())).await;
        assert!(!b.groups().await.contains(&second));
        assert_eq!(b.groups().await.iter().filter(|it| **it == first).count(), 1);
    });
}

#[test]
fn t13_who_comes_back_refuses_a_state_that_does_not_fit() {
    play(&["alpha.test"], async |world| {
        let Scene { a, b, group, between, mut queue, .. } = scene(&world).await;
        let other = a.create_group().await.expect("created");
        let of_other = state_of(&a, &other).await;
        a.update(&group).await.expect("updated");
        a.send(&group, "missed").await.expect("sent");
        between.lie(move |name, _, reply| {
            (name == "external_commit_info").then(|| {
                let mut info = ExternalCommitInfoReply::decode(reply).expect("a reply");
                info.tree = of_other.tree.clone();
                info.encode()
            })
        });
        for entry in queue.harvest(&b, &world, 2).await {
            if kind(&b, &group, &entry).await != Some(ContentKind::Commit) {
                between.push(&entry, world.clock.now());
            }
        }

        let events = drain(&b).await;
        assert!(events.iter().all(|event| resynced(event).is_none()), "{events:?}");
        assert_eq!(between.calls("resync"), 0);
        assert!(b.send(&group, "to whom?").await.is_err());
        between.be_honest();

        b.send(&group, "to you").await.expect("sent");
        assert_eq!(until(&a, text).await, "to you");
    });
}

/// What the DS tells a member of its group.
async fn state_of(client: &Client, group: &GroupId) -> ExternalCommitInfoReply {
    client.lock().await.ask_for_state(group).await.expect("asked")
}

/// A message for one member, as its sender makes it.
async fn targeted(client: &Client, group: &GroupId, leaf: LeafIndex) -> Vec<u8> {
    let mut session = client.lock().await;
    let target = session.group(group).expect("a group").members[&leaf].pseudonym;
    session.make_targeted(group, target, b"for one").expect("made").message.to_vec()
}
