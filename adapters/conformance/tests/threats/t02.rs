//! T2, hoarded tokens: a hostile client keeps all tokens that it is given, and spends them at once. Told is what came
//! through, and what honest people lost.

use phoenix_conformance::world::{Executor, VirtualClock};
use phoenix_core::{
    ErrorCode, Origin, UserId, Uuid,
    api::{
        Endpoint,
        auth::{GetProfile, GetProfileRequest},
    },
    limit::{Limits, Rate},
    port::{Clock, Inline},
    store::MemoryStore,
    time::DAY,
    token::{Class, Token},
};
use phoenix_homeserver::Homeserver;

use crate::{
    site::{Person, Site, fqdn, unsigned},
    t01::site,
};

#[test]
fn t02_a_hoard_that_is_spent_in_a_burst_is_held_back_and_the_others_lose_nothing() {
    let limits = Limits { token: Some(Rate::new(2, 20)), ..Limits::default() };
    // Everybody registers from one address, so this is not yet limited.
    let mut site = site(&["alpha.test"], 4, |_| limits.clone());
    let [mallory, alice] = ["mallory", "alice"].map(|name| registered(&mut site, name));
    let (hoard, hers) = (hoarded(&mut site, mallory, HOARD), hoarded(&mut site, alice, HONEST));
    let home = site.home("alpha.test");

    let burst = site.run(spent(home.clone(), hoard.clone(), [192, 0, 2, 66]));
    let honest = site.run(spent(home.clone(), hers, [192, 0, 2, 1]));
    let clock = site.clock.clone();
    site.run(async move { clock.sleep_ms(5_000).await });
    let unspent = hoard.into_iter().skip(20).collect();
    let later = site.run(spent(home, unspent, [192, 0, 2, 66]));

    let [through, after, honest] = [&burst, &later, &honest].map(|answers| served(answers));
    println!("of {HOARD} hoarded tokens {through} came through at once, {after} more in the next 5 s");
    println!("of {HONEST} honest ones {honest}");
    assert_eq!(through, 20);
    assert_eq!(after, 10);
    assert_eq!(honest, HONEST);
    let over = burst.iter().filter(|code| **code == ErrorCode::RateLimited).count();
    assert_eq!(over, HOARD - through);
}

#[test]
fn t02_a_hoard_dies_with_its_keys() {
    let store = MemoryStore::new();
    let mut site = Site::with(&["alpha.test"], 5, |_, builder| builder.store(store.clone()));
    let mallory = registered(&mut site, "mallory");
    let hoard = hoarded(&mut site, mallory, HOARD);
    let (home, half) = (site.home("alpha.test"), HOARD / 2);

    let in_time = site.run(spent(home, hoard[..half].to_vec(), [192, 0, 2, 66]));
    // A key issues for 7 days, and what it issued is good for 2 more (05).
    let clock = VirtualClock::starting_at(site.clock.now().plus_secs(9 * DAY));
    let mut executor = Executor::new(clock.clone(), site.tape.clone());
    let later = Homeserver::builder(fqdn("alpha.test"))
        .store(store)
        .transport(site.network.transport())
        .clock(clock)
        .entropy(site.tape.entropy())
        .compute(Inline);
    let later = executor.run(later.build()).unwrap().unwrap();
    let too_late = executor.run(spent(later, hoard[half..].to_vec(), [192, 0, 2, 66])).unwrap();

    println!("of {half} hoarded tokens {} bought something after nine days", served(&too_late));
    assert_eq!(served(&in_time), half);
    assert!(too_late.iter().all(|code| *code == ErrorCode::TokenInvalid), "{too_late:?}");
}

fn registered(site: &mut Site, name: &str) -> Person {
    site.register(name, "alpha.test")
}

/// As many Standard tokens as that.
fn hoarded(site: &mut Site, person: Person, number: usize) -> Vec<Token> {
    site.run(async move {
        let mut tokens = Vec::new();
        for _ in 0..number {
            tokens.push(person.client.take_token(&fqdn("alpha.test"), Class::Standard).await.unwrap());
        }
        tokens
    })
}

/// Spends tokens from an address, all at once, on asking for somebody who is not there.
async fn spent(home: Homeserver, tokens: Vec<Token>, address: [u8; 4]) -> Vec<ErrorCode> {
    let user = UserId { uuid: Uuid::from_random([1; 16]), domain: fqdn("alpha.test") };
    let origin = Origin { address: Some(address.into()), request: 2 };
    let mut answers = Vec::new();
    for token in tokens {
        let call = unsigned::<GetProfile>(&GetProfileRequest { user: user.clone(), version: 0 }, Some(token));
        let description = GetProfile::DESCRIPTION;
        let answer = home.call(description.service, description.name, call, origin).await;
        answers.push(answer.unwrap_err().code);
    }
    answers
}

/// How many were looked at.
fn served(answers: &[ErrorCode]) -> usize {
    answers.iter().filter(|code| **code == ErrorCode::NotFound).count()
}

const HOARD: usize = 60;
const HONEST: usize = 10;
