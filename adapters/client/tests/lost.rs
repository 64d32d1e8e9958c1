//! The client where every answer of an endpoint is lost, and the application tries again.

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

use phoenix_client::{Client, Event};

use support::{World, befriend, group_of, joined, play, text, until};

#[test]
fn an_invitation_that_is_repeated_adds_nobody_twice() {
    play(&["alpha.test"], async |world| {
        let (a, b) = pair(&world).await;
        let group = a.create_group().await.expect("created");
        world.net.cut("add_users", true);
        a.invite(&group, &[b.user().clone()]).await.expect_err("cut");
        world.net.cut("add_users", false);

        a.invite(&group, &[b.user().clone()]).await.expect("invited");
        a.invite(&group, &[b.user().clone()]).await.expect("there already");

        assert_eq!(a.members(&group).await.expect("members").len(), 2);
        until(&b, joined).await;
    });
}

#[test]
fn a_removal_that_is_repeated_succeeds_once_and_tells_so() {
    play(&["alpha.test"], async |world| {
        let (a, b) = pair(&world).await;
        let group = group_of(&a, &b).await;
        world.net.cut("remove_users", true);
        a.remove(&group, &[b.user().clone()]).await.expect_err("cut");
        world.net.cut("remove_users", false);
        a.sync(Duration::from_secs(1)).await.expect("synced");

        a.remove(&group, &[b.user().clone()]).await.expect("removed");

        assert_eq!(a.members(&group).await.expect("members").len(), 1);
        a.remove(&group, &[b.user().clone()]).await.expect_err("no member any more");
    });
}

#[test]
fn a_group_whose_end_was_never_answered_is_left_all_the_same() {
    play(&["alpha.test"], async |world| {
        let (a, b) = pair(&world).await;
        let group = group_of(&a, &b).await;
        world.net.cut("delete_group", true);
        a.delete_group(&group).await.expect_err("cut");
        world.net.cut("delete_group", false);
        // Its queue says so.
        until(&a, |event| matches!(event, Event::Removed { .. }).then_some(())).await;

        a.update(&group).await.expect_err("it has ended");
        a.send(&group, "to whom?").await.expect_err("it has ended");
        a.delete_group(&group).await.expect("ended");

        assert!(!a.groups().await.contains(&group));
    });
}

#[test]
fn who_leaves_a_group_that_it_ended_without_an_answer_has_left_it() {
    play(&["alpha.test"], async |world| {
        let (a, b) = pair(&world).await;
        let (heard, unheard) = (group_of(&a, &b).await, group_of(&a, &b).await);
        world.net.cut("delete_group", true);
        a.delete_group(&heard).await.expect_err("cut");
        until(&a, |event| matches!(event, Event::Removed { .. }).then_some(())).await;
        a.delete_group(&unheard).await.expect_err("cut");
        world.net.cut("delete_group", false);

        a.leave(&heard).await.expect("left");
        a.leave(&unheard).await.expect("left");

        let groups = a.groups().await;
        assert!(!groups.contains(&heard) && !groups.contains(&unheard));
    });
}

#[test]
fn an_alias_whose_registration_was_never_answered_is_ours_all_the_same() {
    play(&["alpha.test"], async |world| {
        let a = world.user("alpha.test").await;
        // Alias tokens are few.
        let mut settings = support::settings("alpha.test");
        settings.habits.tries = 1;
        let b = Client::register(settings, world.ports()).await.expect("registered");
        b.set_up().await.expect("set up");
        world.net.cut("alias_register", true);
        b.register_alias("Carol").await.expect_err("cut");
        world.net.cut("alias_register", false);

        b.register_alias("Carol").await.expect("registered");

        assert!(a.register_alias("carol").await.is_err());
        a.connect_alias("carol", &b.user().domain).await.expect("offered");
        until(&b, support::offer).await;
    });
}

#[test]
fn a_call_that_comes_twice_is_known_for_carried_out_though_the_answer_says_that_its_token_is_spent() {
    play(&["alpha.test"], async |world| {
        let (a, b) = pair(&world).await;
        let group = group_of(&a, &b).await;

        world.net.double("delete_group");
        a.delete_group(&group).await.expect("ended");
        world.net.double("alias_register");
        b.register_alias("Carol").await.expect("registered");
    });
}

#[test]
fn an_offer_that_is_repeated_goes_on_with_its_group() {
    play(&["alpha.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("alpha.test").await);
        world.net.cut("enqueue_offer", true);
        a.connect(b.user()).await.expect_err("cut");
        world.net.cut("enqueue_offer", false);

        a.connect(b.user()).await.expect("offered");

        assert_eq!(a.groups().await.len(), 1);
        until(&b, support::offer).await;
        let late = b.sync(Duration::ZERO).await.expect("synced");
        assert!(late.iter().all(|event| !matches!(event, Event::Offer { .. })), "{late:?}");
    });
}

#[test]
fn a_message_is_sent_once_though_others_were_sent_before_it_was_tried_again() {
    play(&["alpha.test"], async |world| {
        let (a, b) = pair(&world).await;
        let group = group_of(&a, &b).await;
        world.net.cut("send_message", true);
        a.send(&group, "one").await.expect_err("cut");
        world.net.cut("send_message", false);

        a.send(&group, "two").await.expect("sent");
        a.send(&group, "one").await.expect("sent");
        a.send(&group, "three").await.expect("sent");

        let mut texts = Vec::new();
        for _ in 0..20 {
            texts.extend(b.sync(Duration::from_secs(1)).await.expect("synced").iter().filter_map(text));
            if texts.last().is_some_and(|text| text == "three") {
                break;
            }
        }
        assert_eq!(texts, ["one", "two", "three"]);
    });
}

async fn pair(world: &World) -> (Client, Client) {
    let (a, b) = (world.user("alpha.test").await, world.user("alpha.test").await);
    befriend(&a, &b).await;
    (a, b)
}
