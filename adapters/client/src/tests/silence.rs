//! Homeservers that do not answer hold nothing up for long.

use std::time::Duration;

use phoenix_core::{
    ErrorReply, GroupId, Refusal, Reject, api::delivery::WelcomeInfoRequest, time::HOUR, wire::Wire,
};

use super::{
    between::Between,
    scene::health,
    support::{World, befriend, group_of, joined, play, text, until},
};
use crate::{Client, Event, group::Health};

#[test]
fn a_member_whose_as_is_silent_holds_a_group_up_for_an_hour_whatever_it_says() {
    play(&["alpha.test", "beta.test"], async |world| {
        // given a member whom Bob cannot verify, and that says a lot
        let (a, (b, between)) = (world.user("alpha.test").await, Between::user(&world, "alpha.test").await);
        let mallory = world.user("beta.test").await;
        befriend(&a, &b).await;
        befriend(&a, &mallory).await;
        between.answer(|name, _| (name == "as_credentials").then(|| Err(unavailable())));
        let group = a.create_group().await.expect("created");
        a.invite(&group, &[b.user().clone(), mallory.user().clone()]).await.expect("invited");
        until(&b, joined).await;
        until(&mallory, joined).await;
        for number in 0..5 {
            mallory.send(&group, number.to_string()).await.expect("sent");
        }
        a.send(&group, "and I?").await.expect("sent");
        while waiting(&b).await < 6 {
            let told = b.sync(Duration::from_secs(1)).await.unwrap_or_default();
            assert!(told.iter().all(|event| text(event).is_none()), "{told:?}");
        }

        // when an hour has passed
        world.clock.pass(HOUR + 1).await;

        // then all goes on, and nothing is said to be anybody's whose it is not known to be
        let mut unverified = 0;
        let said = until(&b, |event| {
            unverified += usize::from(matches!(event, Event::Unverified { .. }));
            text(event)
        });
        assert_eq!(said.await, "and I?");
        assert_eq!(unverified, 5);

        // and once it answers, it is known again
        between.be_honest();
        world.clock.pass(HOUR).await;
        mallory.send(&group, "it is me").await.expect("sent");
        assert_eq!(until(&b, text).await, "it is me");
    });
}

#[test]
fn t20_invitations_that_cannot_be_followed_now_keep_nobody_busy_and_hold_up_no_other() {
    play(&["alpha.test"], async |world| {
        // given more invitations than Bob has packages, so that the last two come by one; and a DS that answers for the
        // last alone
        let (a, (b, between)) = (world.user("alpha.test").await, Between::user(&world, "alpha.test").await);
        befriend(&a, &b).await;
        let mut groups = Vec::new();
        for _ in 0..7 {
            groups.push(a.create_group().await.expect("created"));
        }
        let good = groups[6].clone();
        between.answer(move |name, body| {
            let group = (name == "welcome_info")
                .then(|| WelcomeInfoRequest::decode(body).expect("a request").access.group)?;
            (group != good).then(|| Err(unavailable()))
        });
        for group in &groups {
            a.invite(group, &[b.user().clone()]).await.expect("invited");
        }

        // when Bob reads them
        assert_eq!(until(&b, joined_group).await, groups[6]);

        // then he goes on in the last one, and asks about the others now and then
        a.send(&groups[6], "hello").await.expect("sent");
        assert_eq!(until(&b, text).await, "hello");
        let before = between.calls("welcome_info");
        for _ in 0..20 {
            b.sync(Duration::ZERO).await.expect("others' silence is no error");
        }
        let asked = between.calls("welcome_info") - before;
        assert!(asked <= 40, "{asked}");

        // and joins them once he is answered
        between.be_honest();
        world.clock.pass(HOUR).await;
        let mut joined = 0;
        for _ in 0..30 {
            let told = b.sync(Duration::from_secs(1)).await.expect("synced");
            joined += told.iter().filter_map(joined_group).count();
            if joined == 6 {
                break;
            }
        }
        assert_eq!(joined, 6);
    });
}

#[test]
fn t20_an_invitation_to_a_homeserver_that_is_silent_for_a_week_is_refused() {
    play(&["alpha.test"], async |world| {
        let (a, (b, between)) = (world.user("alpha.test").await, Between::user(&world, "alpha.test").await);
        befriend(&a, &b).await;
        world.net.cut("welcome_info", true);
        for _ in 0..4 {
            let group = a.create_group().await.expect("created");
            a.invite(&group, &[b.user().clone()]).await.expect("invited");
        }
        while waiting(&b).await < 4 {
            b.sync(Duration::from_secs(1)).await.expect("others' silence is no error");
        }
        // Not once for each: they are to one homeserver.
        let asked = between.calls("welcome_info");
        assert!(asked <= 8, "{asked}");

        world.clock.forward(8).await;
        until(&b, |event| matches!(event, Event::InvitationRefused).then_some(())).await;
        while waiting(&b).await > 0 {
            world.clock.pass(600).await;
            b.sync(Duration::ZERO).await.expect("synced");
        }

        assert!(between.calls("welcome_info") <= 12);
    });
}

#[test]
fn who_has_joined_is_not_told_that_the_invitation_was_refused() {
    play(&["alpha.test"], async |world| {
        let (a, (b, between)) = (world.user("alpha.test").await, Between::user(&world, "alpha.test").await);
        befriend(&a, &b).await;
        between.answer(|name, _| {
            (name == "update_queue_config").then(|| Err(Refusal::from(Reject::Forbidden).into()))
        });
        let group = a.create_group().await.expect("created");
        a.invite(&group, &[b.user().clone()]).await.expect("invited");

        let mut told = Vec::new();
        while !told.iter().any(|event| joined(event).is_some()) {
            told.extend(b.sync(Duration::from_secs(1)).await.expect("synced"));
        }

        assert!(!told.contains(&Event::InvitationRefused), "{told:?}");
        // What was refused is done before anything is sent.
        b.send(&group, "not yet").await.expect_err("refused");
        between.be_honest();
        b.send(&group, "now").await.expect("sent");
        assert_eq!(until(&a, text).await, "now");
    });
}

#[test]
fn a_commit_that_was_not_answered_and_is_refused_when_it_is_repeated_is_given_up() {
    play(&["alpha.test"], async |world| {
        let (b, between, group) = with_open_commit(&world).await;
        between.answer(|name, _| {
            (name == "update_client").then(|| Err(Refusal::from(Reject::Forbidden).into()))
        });

        b.sync(Duration::ZERO).await.expect("synced");

        assert!(b.lock().await.group(&group).expect("a group").sent.is_none());
        let calls = between.calls("update_client");
        world.clock.pass(HOUR).await;
        b.sync(Duration::ZERO).await.expect("synced");
        assert_eq!(between.calls("update_client"), calls);
        // It is for nobody to be told of: the next one is another.
        between.be_honest();
        b.update(&group).await.expect("updated");
    });
}

#[test]
fn a_group_that_is_doubted_comes_back_at_once_while_a_commit_is_repeated() {
    play(&["alpha.test"], async |world| {
        let (b, between, group) = with_open_commit(&world).await;
        for _ in 0..5 {
            b.sync(Duration::ZERO).await.expect("synced");
            world.clock.pass(HOUR).await;
        }
        b.sync(Duration::ZERO).await.expect("synced");
        let calls = between.calls("update_client");

        b.lock().await.doubt(&group).expect("a group");
        b.sync(Duration::ZERO).await.expect("synced");

        assert_eq!(health(&b, &group).await, Health::Sound);
        assert_eq!(between.calls("update_client"), calls);
    });
}

/// A user whose commit was not answered, in a group, and never is.
async fn with_open_commit(world: &World) -> (Client, Between, GroupId) {
    let (a, (b, between)) = (world.user("alpha.test").await, Between::user(world, "alpha.test").await);
    befriend(&a, &b).await;
    let group = group_of(&a, &b).await;
    b.update(&group).await.expect("a leaf of its own");
    between.answer(|name, _| (name == "update_client").then(|| Err(unavailable())));
    assert!(b.update(&group).await.expect_err("not answered").is_transient());
    (b, between, group)
}

/// How many entries of its queue a client could not deal with yet.
async fn waiting(client: &Client) -> usize {
    client.lock().await.record().expect("set up").inbox.waiting.len()
}

fn joined_group(event: &Event) -> Option<GroupId> {
    match event {
        Event::Joined { group, .. } => Some(group.clone()),
        _ => None,
    }
}

fn unavailable() -> ErrorReply {
    Refusal::from(Reject::Unavailable(1)).into()
}
