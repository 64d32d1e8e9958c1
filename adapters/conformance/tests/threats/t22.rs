//! T22, a netsplit for days: what needs nobody beyond it goes on, and what could not arrive does so once it ends.

use std::{ops::Range, time::Duration};

use futures::FutureExt;
use phoenix_conformance::world::pause;
use phoenix_core::{
    ErrorCode, GroupId, KeyId, Origin, Timestamp,
    api::{
        Endpoint, ServiceName,
        federation::{FederatedEnqueue, QsToQsTransaction, TransactionTbs},
        tokens::{IssueRequest, IssueTokens},
    },
    crypto::Signature,
    port::{Clock, Outgoing},
    store::MemoryStore,
    token::Class,
    wire::{Call, List, Opaque, VERSION, Wire as _},
};
use phoenix_homeserver::auth;

use crate::site::{Person, Site, Wire, fqdn, shown, texts, unsigned};

#[test]
fn t22_in_a_netsplit_of_days_local_service_goes_on_and_everything_arrives_after_it() {
    let mut site = Site::new(&["alpha.test", "beta.test"], 220);
    let ([alice, bob, carol], group) = three(&mut site);
    site.run(heard(bob.clone(), group.clone(), FEW));

    site.wire(Wire::Cut);
    let mut at_home = Vec::new();
    for day in 0..DAYS {
        for _ in 0..HALF_HOURS {
            site.clock.leap_ms(HALF_AN_HOUR_MS);
            site.run(moment(site.clock.clone()));
        }
        let numbers = day * EACH..(day + 1) * EACH;
        assert_eq!(site.run(say(alice.clone(), group.clone(), numbers)), EACH);
        at_home.extend(site.run(heard(carol.clone(), group.clone(), FEW)));
    }
    let meanwhile = site.run(heard(bob.clone(), group.clone(), FEW));
    site.wire(Wire::Whole);
    // It is looked for every hour at most.
    site.clock.leap_ms(2 * HALF_AN_HOUR_MS);
    let after = site.run(heard(bob, group, PATIENCE));

    assert_eq!(at_home, texts(0..DAYS * EACH), "local service goes on");
    assert!(meanwhile.is_empty());
    assert_eq!(after, texts(0..DAYS * EACH), "everything arrives, once and in order");
}

#[test]
fn t22_keys_that_are_known_bridge_a_netsplit_of_a_day() {
    let mut site = Site::new(&["alpha.test", "beta.test"], 221);
    let bob = site.register("bob", "beta.test");
    let fetch = |site: &mut Site| {
        let client = bob.client.clone();
        site.run(async move {
            client.fetch_tokens(&fqdn("alpha.test"), Class::Standard).await.map_err(|error| error.code())
        })
    };
    assert_eq!(fetch(&mut site), Ok(()));

    site.wire(Wire::Cut);
    site.clock.leap_ms(20 * 2 * HALF_AN_HOUR_MS);
    let within = fetch(&mut site);
    site.clock.leap_ms(6 * 2 * HALF_AN_HOUR_MS);
    let too_long = fetch(&mut site);
    site.wire(Wire::Whole);
    site.clock.leap_ms(2 * HALF_AN_HOUR_MS);
    let after = fetch(&mut site);

    assert_eq!([within, too_long, after], [Ok(()), Err(Some(ErrorCode::Unavailable)), Ok(())]);
}

#[test]
fn t22_while_a_peer_that_is_asked_never_answers_nothing_else_waits() {
    let mut site = Site::new(&["alpha.test", "beta.test"], 222);
    let (alice, bob, _) = together(&mut site);
    let carol = site.register("carol", "alpha.test");
    site.connect(&alice, &carol);
    let of_two = site.run({
        let (alice, carol) = (alice.clone(), carol.clone());
        async move {
            let group = alice.client.create_group().await.unwrap();
            joined(alice, carol, group.clone()).await;
            group
        }
    });
    // Keys of beta must be asked for again by then.
    site.clock.leap_ms(26 * 2 * HALF_AN_HOUR_MS);
    site.wire(Wire::Silent);
    let (clock, group) = (site.clock.clone(), of_two.clone());

    let (is_hanging, sent, heard, took_ms) = site.run(async move {
        let user = bob.client.user().clone();
        let mut hanging = Box::pin(alice.client.invite(&group, std::slice::from_ref(&user)));
        for _ in 0..POLLS {
            assert!(futures::poll!(&mut hanging).is_pending());
            pause().await;
        }
        let began = clock.now();
        // In the very group that the peer is asked for.
        let sent = say(carol.clone(), group.clone(), 0..EACH).await;
        let events = carol.client.sync(Duration::ZERO).await;
        let took_ms = clock.now().millis_since(began);
        (futures::poll!(&mut hanging).is_pending(), sent, events.is_ok(), took_ms)
    });

    assert!(site.asked_in_vain() > 0 && is_hanging, "a peer is asked meanwhile");
    assert_eq!((sent, heard), (EACH, true));
    assert!(took_ms < 1_000, "{took_ms} ms");
}

#[test]
fn t22_more_calls_than_any_bound_that_wait_for_silent_peers_hold_up_nobody() {
    // given a homeserver whose own users invite somebody of beta's to many groups, which many clients of beta ask for
    // tokens, and many strangers bring transactions, when nobody is answered
    let mut site = Site::new(&["alpha.test", "beta.test"], 224);
    let ([alice, bob, carol], group) = three(&mut site);
    let one = alice.client.clone();
    let groups = site.run(async move {
        let mut groups = Vec::new();
        for _ in 0..MANY {
            groups.push(one.create_group().await.unwrap());
        }
        groups
    });
    let asking = bob.tap.passed().into_iter().map(|it| it.outgoing).find(asks_for_standard);
    // Keys of beta must be asked for again by then.
    site.clock.leap_ms(26 * 2 * HALF_AN_HOUR_MS);
    site.wire(Wire::Silent);
    let now = site.clock.now();
    let Outgoing { service, name, mut call, .. } = asking.unwrap();
    call.auth.as_mut().unwrap().issued_at = now.as_secs();
    let alpha = site.home("alpha.test");
    let hanging = move |origin: Origin, (service, name, call): (ServiceName, &'static str, Call)| {
        let alpha = alpha.clone();
        async move { alpha.call(service, name, call, origin).await.map(drop) }.boxed()
    };
    let asking = hanging.clone();
    let issuing = (0..MANY).map(move |from| asking(from_network(from), (service, name, call.clone())));
    let bringing = (0..MANY).map(move |from| hanging(from_network(from), transaction(from, now)));
    let (one, other) = (alice.client.clone(), bob.client.user().clone());
    let inviting = groups.into_iter().map(move |group| {
        let (one, other) = (one.clone(), other.clone());
        async move { drop(one.invite(&group, &[other]).await) }.boxed()
    });

    // then local users go on, in the very group that has a member there
    let clock = site.clock.clone();
    let (waiting, sent, heard, took_ms) = site.run(async move {
        let mut hanging: Vec<_> = inviting.collect();
        hanging.extend(issuing.chain(bringing).map(|call| call.map(drop).boxed()));
        for _ in 0..POLLS {
            let mut still = Vec::new();
            for mut call in hanging {
                if futures::poll!(&mut call).is_pending() {
                    still.push(call);
                }
            }
            hanging = still;
            pause().await;
        }
        let began = clock.now();
        let sent = say(carol.clone(), group.clone(), 0..EACH).await;
        let heard = carol.client.sync(Duration::ZERO).await.is_ok();
        let took_ms = clock.now().millis_since(began);
        (hanging.len(), sent, heard, took_ms)
    });

    println!("{waiting} calls waited for silent peers, with {} of them asked", site.asked_in_vain());
    assert!(waiting > 64, "{waiting}");
    assert_eq!((sent, heard), (EACH, true));
    assert!(took_ms < 1_000, "{took_ms} ms");
}

#[test]
fn t22_a_lookup_at_a_peer_that_never_answers_ends_in_time_and_holds_up_nobody() {
    // given a client of alpha that has a user of beta looked up
    let settings = auth::Settings { lookups: true, ..auth::Settings::default() };
    let mut site = Site::with(&["alpha.test", "beta.test"], 223, |_, builder| {
        builder.store(MemoryStore::new()).auth_settings(settings.clone())
    });
    let [alice, bob] =
        [("alice", "alpha.test"), ("bob", "beta.test")].map(|(name, domain)| site.register(name, domain));
    let (asking, of) = (alice.client.clone(), bob.client.clone());
    let key = site.run(async move {
        let key = of.update_profile(b"Bob").await.unwrap();
        asking.profile_through_home(of.user(), &key).await.unwrap();
        key
    });
    site.wire(Wire::Silent);
    let (asking, of) = (alice.client.clone(), bob.client.user().clone());
    let (clock, carol) = (site.clock.clone(), site.register("carol", "alpha.test"));

    // when beta does not answer, then alpha serves others meanwhile, and ends the call in time
    let (is_hanging, took_ms) = site.run(async move {
        let began = clock.now();
        let mut hanging = Box::pin(asking.profile_through_home(&of, &key));
        for _ in 0..POLLS {
            assert!(futures::poll!(&mut hanging).is_pending());
            pause().await;
        }
        carol.client.update_profile(b"Carol").await.unwrap();
        let is_hanging = futures::poll!(&mut hanging).is_pending();
        assert_eq!(hanging.await.unwrap_err().code(), Some(ErrorCode::Unavailable));
        (is_hanging, clock.now().millis_since(began))
    });

    assert!(is_hanging && (20_000..30_000).contains(&took_ms), "{took_ms} ms");
}

/// The two of [`together`], and carol of alpha.
fn three(site: &mut Site) -> ([Person; 3], GroupId) {
    let (alice, bob, group) = together(site);
    let carol = site.register("carol", "alpha.test");
    site.connect(&alice, &carol);
    site.run(joined(alice.clone(), carol.clone(), group.clone()));
    ([alice, bob, carol], group)
}

/// Alice of alpha and bob of beta, in a group of alpha's.
pub(crate) fn together(site: &mut Site) -> (Person, Person, GroupId) {
    let [alice, bob] =
        [("alice", "alpha.test"), ("bob", "beta.test")].map(|(name, domain)| site.register(name, domain));
    site.connect(&alice, &bob);
    let (one, other) = (alice.clone(), bob.clone());
    let group = site.run(async move {
        let group = one.client.create_group().await.unwrap();
        joined(one, other, group.clone()).await;
        group
    });
    (alice, bob, group)
}

/// Whether a client asks for tokens that those of other homeservers get, too.
fn asks_for_standard(sent: &Outgoing) -> bool {
    let class = || IssueRequest::decode(sent.call.body.as_slice()).unwrap().class;
    sent.name == IssueTokens::DESCRIPTION.name && class() == Class::Standard
}

/// Where one of many calls from.
fn from_network(number: usize) -> Origin {
    let number = u8::try_from(number).unwrap();
    Origin { address: Some([192, 0, 2, number].into()), request: 0 }
}

/// An empty transaction of a homeserver that nobody knows.
fn transaction(number: usize, now: Timestamp) -> (ServiceName, &'static str, Call) {
    let payload = TransactionTbs {
        version: VERSION,
        source: fqdn(&format!("s{number}.test")),
        destination: fqdn("alpha.test"),
        transaction: [1; 16],
        sent_at: now.as_secs(),
        deliveries: List::default(),
        key: KeyId([1; 16]),
    };
    let signature = Signature(Opaque::new(vec![0; 64]).unwrap());
    let call = unsigned::<FederatedEnqueue>(&QsToQsTransaction { payload, signature }, None);
    (FederatedEnqueue::DESCRIPTION.service, FederatedEnqueue::DESCRIPTION.name, call)
}

/// Adds somebody to a group.
async fn joined(one: Person, other: Person, group: GroupId) {
    one.client.invite(&group, &[other.client.user().clone()]).await.unwrap();
    while !other.client.groups().await.contains(&group) {
        other.client.sync(Duration::from_secs(1)).await.unwrap();
    }
}

/// Sends texts, each as often as it takes; gives how many were accepted.
pub(crate) async fn say(person: Person, group: GroupId, numbers: Range<usize>) -> usize {
    let mut accepted = 0;
    for text in texts(numbers) {
        for _ in 0..TRIES {
            if person.client.send(&group, &text).await.is_ok() {
                accepted += 1;
                break;
            }
        }
    }
    accepted
}

/// What somebody is shown within so many long polls.
pub(crate) async fn heard(person: Person, group: GroupId, polls: usize) -> Vec<String> {
    let mut heard = Vec::new();
    for _ in 0..polls {
        let events = person.client.sync(Duration::from_secs(10)).await.unwrap_or_default();
        heard.extend(shown(events, &group));
    }
    heard
}

async fn moment(clock: phoenix_conformance::world::VirtualClock) {
    clock.sleep_ms(1_000).await;
}

const DAYS: usize = 3;
const HALF_HOURS: usize = 48;
const HALF_AN_HOUR_MS: u64 = 1_800_000;
const EACH: usize = 4;
const FEW: usize = 3;
const PATIENCE: usize = 12;
const TRIES: usize = 20;
const POLLS: usize = 2_000;
const MANY: usize = 40;
