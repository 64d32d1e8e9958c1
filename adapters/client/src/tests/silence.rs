//! Homeservers that do not answer hold nothing up for long.

use std::time::Duration;

use phoenix_core::{ErrorReply, Refusal, Reject, time::HOUR};

use super::{
    between::Between,
    support::{befriend, joined, play, text, until},
};
use crate::{Client, Event};

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

/// How many entries of its queue a client could not deal with yet.
async fn waiting(client: &Client) -> usize {
    client.lock().await.record().expect("set up").inbox.waiting.len()
}

fn unavailable() -> ErrorReply {
    Refusal::from(Reject::Unavailable(1)).into()
}
