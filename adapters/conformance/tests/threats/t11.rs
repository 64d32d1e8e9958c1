//! T11, requests and messages that are altered, replayed, reordered or moved by whoever stands between: clients and
//! homeservers, homeservers among themselves. What is turned, cut or moved of a single call is in `mutations.rs`.

use std::time::Duration;

use phoenix_conformance::{
    store::{Call as StoreCall, Strike},
    world::{Arena, Tape, recorded},
};
use phoenix_core::{
    ErrorCode, ErrorReply, GroupId,
    api::{Endpoint, Replay, federation::FederatedEnqueue},
    port::Outgoing,
    token::Class,
    wire::{Call, Opaque},
};

use crate::site::{Fate, Person, Site, fqdn, origin, shown, texts};

#[test]
fn t11_a_call_that_is_given_again_and_again_has_its_effect_once_at_every_endpoint() {
    let described = Site::new(&["alpha.test"], 110).home("alpha.test").descriptions();
    let mut replayed = 0;
    for (number, recorded) in recorded().into_iter().enumerate() {
        let name = recorded.outgoing.name;
        let mut arena = Arena::of(&recorded, 2, &Tape::of_seed(number as u64), spare).unwrap();
        let call = recorded.outgoing.call.clone();
        let endpoint = described.iter().find(|it| it.id == call.endpoint).unwrap();
        if endpoint.replay == Replay::Harmless {
            continue;
        }
        let first = arena.give(vec![call.clone()]).unwrap();
        let once = arena.books();
        assert!(first[0].is_ok() && once.spent == 1, "{name}: {first:?}, {once:?}");
        arena.rewind();

        let answers = arena.give(vec![call.clone(); REPEATS]).unwrap();
        let later = arena.give(vec![call; REPEATS]).unwrap();

        assert_eq!(answers.iter().chain(&later).filter(|it| it.is_ok()).count(), 1, "{name}");
        assert_eq!(arena.books(), once, "{name}");
        replayed += 1;
    }
    println!("{replayed} endpoints were given their call {} times", 2 * REPEATS);
    assert!(replayed >= 20, "only {replayed} endpoints");
}

#[test]
fn t11_parts_of_two_calls_make_no_third() {
    let mut site = Site::new(&["alpha.test", "beta.test"], 111);
    let (alice, bob, group) = pair(&mut site);
    let mut told = Vec::new();
    // Of body, frame and token, each of one or the other; all of one is no forgery.
    for choice in 1..7_u8 {
        let (from, of) = (alice.clone(), group.clone());
        let messages = site.run(async move { [prepared(&from, &of).await, prepared(&from, &of).await] });
        let [body, auth, token] = [0, 1, 2].map(|part| &messages[usize::from(choice >> part & 1)].call);
        let mixed = Call {
            body: body.body.clone(),
            auth: auth.auth.clone(),
            token: token.token.clone(),
            ..messages[0].call.clone()
        };
        let home = site.home("alpha.test");
        let Outgoing { service, name, .. } = messages[0].clone();
        let answer = site.run(async move { home.call(service, name, mixed, origin()).await });
        told.push(answer.map(drop).map_err(|error| error.code));
    }

    assert_eq!(told, [Err(ErrorCode::Unauthenticated); 6]);
    assert!(site.run(heard(bob, group, 3)).is_empty());
}

#[test]
fn t11_a_transaction_that_is_replayed_altered_or_moved_changes_no_queue() {
    let mut site = Site::new(&["alpha.test", "beta.test", "gamma.test"], 112);
    let (alice, bob, group) = pair(&mut site);
    let before = site.posted().len();
    site.run(say(alice.clone(), group.clone(), 0..5));
    assert_eq!(site.run(heard(bob.clone(), group.clone(), 5)), texts(0..5));
    let passed: Vec<_> =
        site.posted()[before..].iter().filter(|(to, _)| *to == fqdn("beta.test")).cloned().collect();
    let transactions: Vec<_> = passed.into_iter().map(|(_, outgoing)| outgoing).collect();
    assert!(!transactions.is_empty());

    // The same again, the last first: answered as before, and nothing comes of it.
    for outgoing in transactions.iter().rev().cycle().take(3 * transactions.len()) {
        assert!(given(&mut site, "beta.test", outgoing.call.clone()).is_ok());
    }
    // Given to others.
    for outgoing in &transactions {
        for other in ["gamma.test", "alpha.test"] {
            assert!(given(&mut site, other, outgoing.call.clone()).is_err());
        }
    }
    // Altered.
    let tape = Tape::of_seed(112);
    for outgoing in &transactions {
        for _ in 0..FLIPS {
            let bit = tape.below(outgoing.call.body.len() * 8);
            let mut body = outgoing.call.body.as_slice().to_vec();
            body[bit / 8] ^= 1 << (bit % 8);
            let call = Call { body: Opaque::new(body).unwrap(), ..outgoing.call.clone() };
            let code = given(&mut site, "beta.test", call).unwrap_err().code;
            assert_ne!(code, ErrorCode::Internal, "bit {bit}");
        }
    }

    assert!(site.run(heard(bob.clone(), group.clone(), 3)).is_empty());
    site.run(say(alice, group.clone(), 5..7));
    assert_eq!(site.run(heard(bob, group, 3)), texts(5..7), "what is right still arrives");
}

#[test]
fn t11_what_a_network_loses_repeats_and_brings_late_arrives_once_and_in_order() {
    let mut site = Site::new(&["alpha.test", "beta.test"], 113);
    let (alice, bob, group) = pair(&mut site);
    let tape = Tape::of_seed(113);
    site.intercept(move |_, outgoing| {
        if outgoing.name != FederatedEnqueue::DESCRIPTION.name {
            return Fate::Passes;
        }
        match tape.below(5) {
            0 => Fate::IsLost,
            1 => Fate::LosesItsAnswer,
            2 => Fate::ComesTwice,
            3 => Fate::ComesAgainAfterTheNext,
            _ => Fate::Passes,
        }
    });

    let mut all = Vec::new();
    for round in 0..ROUNDS {
        site.run(say(alice.clone(), group.clone(), round * 3..round * 3 + 3));
        all.extend(site.run(heard(bob.clone(), group.clone(), 1)));
    }
    let fates = site.calm();
    all.extend(site.run(heard(bob, group, 60)));

    println!("{fates:?}");
    assert_eq!(all, texts(0..ROUNDS * 3));
    for fate in [Fate::IsLost, Fate::LosesItsAnswer, Fate::ComesTwice, Fate::ComesAgainAfterTheNext] {
        assert!(fates.contains(&fate), "{fate:?} never struck");
    }
}

/// Two people of two homeservers, in a group of the first one's, who have said something already.
fn pair(site: &mut Site) -> (Person, Person, GroupId) {
    let [alice, bob] =
        [("alice", "alpha.test"), ("bob", "beta.test")].map(|(name, domain)| site.register(name, domain));
    site.connect(&alice, &bob);
    let (one, other) = (alice.clone(), bob.clone());
    let group = site.run(async move {
        let group = one.client.create_group().await.unwrap();
        one.client.invite(&group, &[other.client.user().clone()]).await.unwrap();
        for _ in 0..PATIENCE {
            other.client.sync(Duration::from_secs(1)).await.unwrap();
        }
        other.client.send(&group, b"here").await.unwrap();
        for _ in 0..PATIENCE {
            one.client.sync(Duration::from_secs(1)).await.unwrap();
            other.client.sync(Duration::from_secs(1)).await.unwrap();
        }
        group
    });
    (alice, bob, group)
}

async fn prepared(person: &Person, group: &GroupId) -> Outgoing {
    let token = person.client.take_token(&group.domain, Class::Standard).await.unwrap();
    person.client.prepare_message(group, "a part", Some(token)).await.unwrap()
}

async fn say(person: Person, group: GroupId, numbers: std::ops::Range<usize>) {
    for text in texts(numbers) {
        person.client.send(&group, text).await.unwrap();
    }
}

/// What comes to somebody within so many long polls.
async fn heard(person: Person, group: GroupId, polls: usize) -> Vec<String> {
    let mut heard = Vec::new();
    for _ in 0..polls {
        let events = person.client.sync(Duration::from_secs(10)).await.unwrap();
        heard.extend(shown(events, &group));
    }
    heard
}

fn given(site: &mut Site, to: &str, call: Call) -> Result<(), ErrorReply> {
    let (home, description) = (site.home(to), FederatedEnqueue::DESCRIPTION);
    site.run(async move { home.call(description.service, description.name, call, origin()).await.map(drop) })
}

fn spare(_: u64, _: StoreCall<'_>) -> Strike {
    Strike::Spare
}

const REPEATS: usize = 8;
const FLIPS: usize = 100;
const ROUNDS: usize = 10;
const PATIENCE: usize = 5;
