//! T8, spam that asks for attention: offers to someone who does not know their sender.

use std::time::Duration;

use phoenix_client::Event;
use phoenix_core::{
    ErrorCode, ErrorReply,
    api::{
        Empty,
        auth::{EnqueueOffer, EnqueueOfferRequest},
    },
    store::MemoryStore,
    token::{Class, Token},
    wire::Opaque,
};
use phoenix_homeserver::auth;

use crate::site::{Person, Site};

#[test]
fn t08_an_offer_costs_a_contact_token_and_nothing_that_is_cheaper() {
    let mut site = Site::new(&["alpha.test"], 8);
    let victim = site.register("victim", "alpha.test");
    let hostile = site.register("hostile", "alpha.test");

    let answers = site.run(async move {
        let domain = victim.client.user().domain.clone();
        let mut answers = vec![spam(&hostile, &victim, None).await];
        for class in [Class::Standard, Class::Home, Class::Alias, Class::Contact] {
            let token = hostile.client.take_token(&domain, class).await.unwrap();
            answers.push(spam(&hostile, &victim, Some(token)).await);
        }
        answers.into_iter().map(|answer| answer.map_err(|error| error.code)).collect::<Vec<_>>()
    });

    let required = Err(ErrorCode::TokenRequired);
    assert_eq!(answers, [required, required, required, required, Ok(Empty {})]);
}

#[test]
fn t08_a_flood_of_offers_fills_a_bounded_queue_shows_nothing_and_loses_nothing() {
    let mut site = Site::with(&["alpha.test"], 88, |_, builder| {
        // Of tokens this attacker has as many as it likes.
        let mut settings = auth::Settings::default();
        settings.allowances.contact = 10_000;
        builder.store(MemoryStore::new()).auth_settings(settings)
    });
    let victim = site.register("victim", "alpha.test");
    let hostile = site.register("hostile", "alpha.test");
    let honest = site.register("honest", "alpha.test");
    let (from, to) = (honest.client.clone(), victim.client.user().clone());
    site.run(async move { from.connect(&to).await.unwrap() });

    let (spammed, flood) = (victim.clone(), hostile.clone());
    let (accepted, refused) = site.run(async move {
        let domain = spammed.client.user().domain.clone();
        let mut accepted = 0_u32;
        loop {
            let token = flood.client.take_token(&domain, Class::Contact).await.unwrap();
            match spam(&flood, &spammed, Some(token)).await {
                Ok(Empty {}) => accepted += 1,
                Err(error) => break (accepted, error.code),
            }
        }
    });
    println!("{accepted} made-up offers for as many Contact tokens, then {refused:?}");
    // The honest one lies there already, and some entries are the queue's own: its keys are changed now and then.
    assert!((BOUND - 20..BOUND).contains(&accepted), "{accepted}");
    assert_eq!(refused, ErrorCode::RateLimited);

    let (reading, late) = (victim.client.clone(), honest.clone());
    let events = site.run(async move {
        let mut events = Vec::new();
        for _ in 0..ROUNDS {
            events.extend(reading.sync(Duration::ZERO).await.unwrap());
        }
        events
    });
    let shown: Vec<_> = events.iter().filter(|event| matches!(event, Event::Offer { .. })).collect();
    assert_eq!(shown.len(), 1, "of {accepted} made-up offers none is shown: {shown:?}");
    assert!(matches!(shown[0], Event::Offer { from, .. } if from == late.client.user()));
    let again = site.run(async move {
        let domain = victim.client.user().domain.clone();
        let token = late.client.take_token(&domain, Class::Contact).await.unwrap();
        spam(&late, &victim, Some(token)).await
    });
    assert_eq!(again, Ok(Empty {}), "once it was read there is room again");
}

/// An offer that nobody can open.
async fn spam(from: &Person, to: &Person, token: Option<Token>) -> Result<Empty, ErrorReply> {
    let request = EnqueueOfferRequest {
        to: to.credential.payload.client.clone(),
        ciphertext: Opaque::new(vec![8; 200]).unwrap(),
    };
    from.ask::<EnqueueOffer>("alpha.test", &request, token).await
}

/// Entries of a direct queue (04).
const BOUND: u32 = 1_000;
/// Pages of a full queue, and more.
const ROUNDS: usize = 12;
