//! Tokens: fetched ahead, and what they are asked for.

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

use std::sync::{Arc, Mutex};

use phoenix_client::{Client, Settings};
use phoenix_core::{
    api::{Endpoint, auth::GetProfile, auth::PublishConnectionPackages},
    token::Class,
};
use phoenix_homeserver::rules::Costs;

use support::{play, play_with, settings};

#[test]
fn a_client_learns_what_an_operator_has_made_endpoints_cost() {
    let costs = Costs::default()
        .with(GetProfile::DESCRIPTION.id, Some(Class::Contact))
        .with(PublishConnectionPackages::DESCRIPTION.id, None);
    play_with(
        &["alpha.test"],
        |builder| builder.costs(costs.clone()),
        async |world| {
            let a = world.user("alpha.test").await;
            let domain = a.user().domain.clone();
            let key = a.update_profile(b"Alice").await.expect("published");
            a.fetch_tokens(&domain, Class::Contact).await.expect("fetched");
            let before = a.tokens_left(&domain, Class::Contact).await;

            for read in 1..=2 {
                assert_eq!(a.profile(a.user(), &key).await, Ok(b"Alice".to_vec()));
                assert_eq!(a.tokens_left(&domain, Class::Contact).await, before - read);
            }

            let standard = a.tokens_left(&domain, Class::Standard).await;
            assert_eq!(a.profile(a.user(), &key).await, Ok(b"Alice".to_vec()));
            assert_eq!(a.tokens_left(&domain, Class::Standard).await, standard, "known by now");
        },
    );
}

#[test]
fn tokens_are_fetched_ahead_some_time_after_few_are_left() {
    play(&["alpha.test"], async |world| {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let ports = world.lied_to({
            let asked = asked.clone();
            move |_, name, reply| {
                if name == "issue_tokens" {
                    asked.lock().expect("no panic before").push(reply.len());
                }
                reply
            }
        });
        let mut settings = settings("alpha.test");
        settings.habits.jitter_s = 3_600;
        let a = Client::register(Settings { ..settings }, ports).await.expect("registered");
        a.set_up().await.expect("set up");
        let domain = a.user().domain.clone();
        while a.tokens_left(&domain, Class::Standard).await > 6 {
            a.take_token(&domain, Class::Standard).await.expect("there");
        }
        let batches = || asked.lock().expect("no panic before").len();
        let before = batches();

        // It is unlikely to be due at once.
        a.maintain().await.expect("maintained");
        assert_eq!(batches(), before);

        world.clock.forward(1).await;
        a.maintain().await.expect("maintained");
        assert_eq!(a.tokens_left(&domain, Class::Standard).await, 26);
        a.maintain().await.expect("maintained");
        assert_eq!(batches(), before + 1, "there are enough again");
    });
}

#[test]
fn a_token_of_the_standard_type_is_issued_to_clients_of_any_make() {
    play(&["alpha.test"], async |world| {
        let a = world.user("alpha.test").await;

        let token = a.request_token(&a.user().domain, Class::Standard).await.expect("issued");

        assert_eq!(token.token_type(), phoenix_core::token::TokenType::P384);
    });
}
