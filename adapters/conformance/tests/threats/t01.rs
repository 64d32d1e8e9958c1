//! T1, floods: a hostile member, the user of a hostile homeserver, and a source that nobody knows send as much as they
//! can. Told is what came through, and what honest people lost. The limits are a tenth of the default ones or less, so
//! that the runs are short.

use std::time::Duration;

use phoenix_client::Event;
use phoenix_core::{
    ErrorCode, GroupId, Origin,
    api::{Empty, Endpoint, auth::RegistrationChallenge},
    limit::{Limits, Rate},
    port::{Clock, Outgoing},
    store::MemoryStore,
    token::Class,
    wire::Opaque,
};
use phoenix_homeserver::Homeserver;

use crate::site::{Person, Site, origin, unsigned};

#[test]
fn t01_a_member_that_floods_a_group_is_held_back_and_the_others_lose_nothing() {
    let limits =
        Limits { leaf_messages: Some(Rate::new(1, 10)), group: Some(Rate::new(5, 60)), ..Limits::default() };
    let mut site = site(&["alpha.test", "beta.test"], 1, |_| limits.clone());
    let [alice, bob] = ["alice", "bob"].map(|name| site.register(name, "alpha.test"));
    let mallory = site.register("mallory", "beta.test");
    let group = site.run(together(alice.clone(), vec![bob.clone(), mallory.clone()]));

    let flood = site.run(prepared(mallory.clone(), group.clone(), FLOOD));
    let forged = flood.iter().take(20).cloned().map(spoilt).collect();
    let home = site.home("alpha.test");
    let forged = site.run(given(home.clone(), forged));
    let answers = site.run(given(home, flood.into_iter().skip(20).collect()));
    let honest = site.run(sent(alice.clone(), group.clone(), HONEST));
    let heard = site.run(heard(bob, group));

    let through = count(&answers, None);
    println!("of {} messages of the flood {through} came through, of 20 forged ones none", answers.len());
    println!("of {HONEST} honest messages {honest} were taken; a member heard {heard} in all");
    assert_eq!(count(&forged, Some(ErrorCode::Unauthenticated)), 20);
    // Ten at once: the flood takes no time.
    assert_eq!(through, 10);
    assert_eq!(count(&answers, Some(ErrorCode::RateLimited)), answers.len() - through);
    assert_eq!((honest, heard), (HONEST, HONEST + through));
}

#[test]
fn t01_a_member_of_a_homeserver_that_limits_nobody_fills_no_queue_and_delays_no_other_group() {
    let alpha = Limits { config: Some(Rate::new(1, 10)), ..Limits::default() };
    let limits = |domain: &str| if domain == "alpha.test" { alpha.clone() } else { Limits::unlimited() };
    let mut site = site(&["alpha.test", "beta.test"], 2, limits);
    let alice = site.register("alice", "alpha.test");
    let [mallory, bob] = ["mallory", "bob"].map(|name| site.register(name, "beta.test"));
    let flooded = site.run(together(mallory.clone(), vec![alice.clone()]));
    let quiet = site.run(together(bob.clone(), vec![alice.clone()]));
    let flood = site.run(prepared(mallory, flooded.clone(), FLOOD));

    let home = site.home("beta.test");
    let taken = count(&site.run(given(home, flood)), None);
    let honest = site.run(sent(bob, quiet.clone(), HONEST));
    let (clock, reader) = (site.clock.clone(), alice.clone());
    let before = clock.now();
    let (of_flood, of_honest) = site.run(async move {
        let (mut of_flood, mut of_honest) = (0, 0);
        for _ in 0..5 {
            for event in reader.client.sync(Duration::from_secs(1)).await.unwrap() {
                let Event::Message(message) = event else { continue };
                of_flood += usize::from(message.group == flooded);
                of_honest += usize::from(message.group == quiet);
            }
        }
        (of_flood, of_honest)
    });
    let seconds = site.clock.now().millis_since(before).div_ceil(1_000) as usize;

    println!("of {taken} messages of the flood {of_flood} were in the queue after {seconds} s");
    println!("of {honest} messages of another group of the same homeserver {of_honest} were");
    assert_eq!((taken, honest), (FLOOD, HONEST));
    // What adding her delivers counts for the group, too.
    assert!((1..=10 + seconds).contains(&of_flood), "{of_flood} in {seconds} s");
    assert_eq!(of_honest, HONEST, "the narrowest limit bites");
}

#[test]
fn t01_a_source_that_floods_a_server_is_held_back_and_other_sources_lose_nothing() {
    let limits = Limits { tokenless: Some(Rate::new(10, 200)), ..Limits::default() };
    let mut site = site(&["alpha.test"], 3, |_| limits.clone());
    let alice = site.register("alice", "alpha.test");
    let home = site.home("alpha.test");

    let answers = site.run(async move {
        let mut answers = Vec::new();
        for number in 0..2_000_u32 {
            let call = unsigned::<RegistrationChallenge>(&Empty {}, None);
            // All of one network, whatever address of it they come from.
            let address = format!("2001:db8:0:1::{:x}", number % 1_000).parse().ok();
            let description = RegistrationChallenge::DESCRIPTION;
            let origin = Origin { address, request: 1 };
            answers.push(home.call(description.service, description.name, call, origin).await.map(drop));
        }
        answers
    });
    let read = site.run(async move { alice.client.sync(Duration::ZERO).await });
    let _newcomer = site.register("bob", "alpha.test");

    let through = answers.iter().filter(|answer| answer.is_ok()).count();
    println!("of {} calls of one network {through} were served; others were served as ever", answers.len());
    assert_eq!(through, 200);
    let refused = answers.iter().filter_map(|answer| answer.as_ref().err());
    assert!(refused.clone().all(|it| it.code == ErrorCode::RateLimited && it.retry_after_s == Some(1)));
    assert!(read.is_ok());
}

/// Homeservers that let through so much.
pub(crate) fn site(domains: &[&str], seed: u64, limits: impl Fn(&str) -> Limits) -> Site {
    Site::with(domains, seed, |domain, builder| builder.store(MemoryStore::new()).limits(limits(domain)))
}

/// A group of one and others.
pub(crate) async fn together(one: Person, others: Vec<Person>) -> GroupId {
    for other in &others {
        one.client.connect(other.client.user()).await.unwrap();
        for event in other.client.sync(Duration::ZERO).await.unwrap() {
            if let Event::Offer { offer, .. } = event {
                other.client.accept(offer).await.unwrap();
            }
        }
        one.client.sync(Duration::from_secs(2)).await.unwrap();
    }
    let group = one.client.create_group().await.unwrap();
    let users: Vec<_> = others.iter().map(|other| other.client.user().clone()).collect();
    one.client.invite(&group, &users).await.unwrap();
    for other in &others {
        for _ in 0..PATIENCE {
            other.client.sync(Duration::from_secs(1)).await.unwrap();
        }
        assert!(other.client.groups().await.contains(&group));
        // The first message goes after the queue config; then nothing else stands between.
        other.client.send(&group, b"here").await.unwrap();
    }
    for person in others.iter().chain([&one]) {
        for _ in 0..PATIENCE {
            person.client.sync(Duration::from_secs(10)).await.unwrap();
        }
    }
    group
}

/// Messages, each with its token, that nobody has sent yet.
pub(crate) async fn prepared(person: Person, group: GroupId, number: usize) -> Vec<Outgoing> {
    let mut messages = Vec::new();
    for number in 0..number {
        let token = person.client.take_token(&group.domain, Class::Standard).await.unwrap();
        let text = format!("flood {number}");
        messages.push(person.client.prepare_message(&group, text, Some(token)).await.unwrap());
    }
    messages
}

/// The same, not as it was signed.
fn spoilt(mut message: Outgoing) -> Outgoing {
    let mut body = message.call.body.as_slice().to_vec();
    if let Some(last) = body.last_mut() {
        *last ^= 1;
    }
    message.call.body = Opaque::new(body).unwrap();
    message
}

type Outcome = Result<(), ErrorCode>;

async fn given(home: Homeserver, messages: Vec<Outgoing>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for Outgoing { service, name, call, .. } in messages {
        outcomes.push(home.call(service, name, call, origin()).await.map(drop).map_err(|error| error.code));
    }
    outcomes
}

/// How many honest messages are taken.
async fn sent(person: Person, group: GroupId, number: usize) -> usize {
    let mut taken = 0;
    for number in 0..number {
        taken += usize::from(person.client.send(&group, format!("honest {number}")).await.is_ok());
    }
    taken
}

async fn heard(person: Person, group: GroupId) -> usize {
    let mut heard = 0;
    for _ in 0..PATIENCE {
        for event in person.client.sync(Duration::from_secs(1)).await.unwrap() {
            heard += usize::from(matches!(event, Event::Message(message) if message.group == group));
        }
    }
    heard
}

fn count(outcomes: &[Outcome], error: Option<ErrorCode>) -> usize {
    outcomes.iter().filter(|outcome| outcome.err() == error).count()
}

const FLOOD: usize = 80;
const HONEST: usize = 8;
const PATIENCE: usize = 5;
