//! Guessing passwords, and asking who is there (T25).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use phoenix_core::{
    Refusal, Reject,
    api::auth::WorkProof,
    time::{HOUR, MINUTE},
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::with_default,
};

use super::{
    passwords::{asked, user},
    world::{By, TestClient, World},
};
use crate::{AuthSettings, LoginLimits, op, opaque::client::PASSWORD};

#[test]
fn ten_logins_from_a_network_that_fail_take_work_from_then_on_and_an_hour_later_none() {
    let world = cheap();
    let client = world.register(1);
    let log_in = |address, work| world.log_in_from(&client.id.user, WRONG, (address, work));
    for _ in 0..10 {
        log_in(HERE, None).unwrap();
        world.pass(60);
    }

    let refused = log_in(HERE, None).unwrap_err();

    let (challenge, seconds) = asked(&refused);
    assert_eq!((challenge.bits, seconds), (4, 50 * 60));
    assert!(log_in("192.0.2.2", None).is_ok(), "another network");
    world.pass(50 * 60 - 1);
    assert!(log_in(HERE, None).is_err());
    world.pass(1);
    assert!(log_in(HERE, None).is_ok());
}

#[test]
fn a_hundred_logins_of_a_user_that_fail_take_work_wherever_they_come_from() {
    let world = cheap();
    let client = world.register(1);
    let addresses: Vec<_> = (0..101).map(|at| format!("192.0.2.{at}")).collect();
    let log_in = |address: &str| world.log_in_from(&client.id.user, WRONG, (address, None));

    let refused: Vec<_> = addresses.iter().map(|address| log_in(address).is_err()).collect();

    assert_eq!(refused.iter().position(|it| *it), Some(100));
    world.pass(HOUR);
    assert!(log_in(HERE).is_ok());
}

#[test]
fn work_is_good_for_one_login_of_its_user_and_only_where_it_was_asked_for() {
    let world = cheap();
    let (client, other) = (world.register(1), world.register(2));
    let log_in = |of: &TestClient, work| world.log_in_from(&of.id.user, WRONG, (HERE, work));
    for _ in 0..10 {
        log_in(&client, None).unwrap();
        log_in(&other, None).unwrap();
    }
    let (challenge, _) = asked(&log_in(&client, None).unwrap_err());
    let work = challenge.solve(&client.id.user, 0, 1 << 20).unwrap();
    let unsolved = (0..).map(|nonce| WorkProof { nonce, ..work.clone() });
    let unsolved = unsolved.into_iter().find(|proof| !proof.holds(&client.id.user));

    assert!(log_in(&client, unsolved).is_err());
    assert!(log_in(&other, Some(work.clone())).is_err(), "done for another");
    assert!(log_in(&client, Some(work.clone())).is_ok());
    assert!(log_in(&client, Some(work)).is_err(), "done once");
    let own = phoenix_core::api::auth::WorkChallenge { salt: [0; 32], bits: 0, expires: u64::MAX };
    let own = own.solve(&client.id.user, 0, 1).unwrap();
    assert!(log_in(&client, Some(own)).is_err(), "nobody asked for that");
    let late = asked(&log_in(&client, None).unwrap_err()).0.solve(&client.id.user, 0, 1 << 20);
    world.pass_unswept(HOUR + 1);
    for _ in 0..10 {
        log_in(&client, None).unwrap();
    }
    assert!(log_in(&client, late).is_err(), "too late");
}

#[test]
fn a_login_that_is_completed_does_not_count() {
    let world = cheap();
    let client = world.register(1);
    for added in 2..14 {
        let adding = world.begin_adding(&client.id.user, added);
        let added = world.finish_adding(&adding).unwrap();
        let own = world.factor(&added);
        let request = phoenix_core::api::auth::RemoveClientRequest { factor: own, client: added.id.client };
        world.ask::<op::RemoveClient>(request, By::Client(&added)).unwrap();
    }

    let left: Vec<_> =
        (0..11).map(|_| world.log_in_from(&client.id.user, WRONG, (HERE, None)).is_ok()).collect();

    assert_eq!(left.iter().filter(|it| **it).count(), 10);
}

#[test]
fn t9_nobody_locks_a_user_out_of_its_login() {
    let world = cheap();
    let client = world.register(1);
    for at in 0..100 {
        let _ = world.log_in_from(&client.id.user, WRONG, (&format!("192.0.2.{at}"), None));
    }
    assert!(world.log_in_from(&client.id.user, PASSWORD, ("::1", None)).is_err());

    let factor = world.factor(&client);

    let request = phoenix_core::api::auth::RemoveClientRequest { factor, client: client.id.client };
    assert!(world.ask::<op::RemoveClient>(request, By::Client(&client)).is_ok());
}

#[test]
fn a_client_that_fails_ten_logins_waits_and_another_of_the_user_does_not() {
    let world = cheap();
    let client = world.register(1);
    let second = world.add(&client.id.user, 2);
    for _ in 0..10 {
        world.factor_with(&client, WRONG).unwrap();
    }

    let refused = world.factor_with(&client, PASSWORD).err();

    assert_eq!(refused, Some(Reject::RateLimited(3_600)));
    assert!(world.factor_with(&second, PASSWORD).is_ok());
    assert!(world.log_in_from(&client.id.user, PASSWORD, (HERE, None)).is_ok());
    world.pass(HOUR);
    assert!(world.factor_with(&client, PASSWORD).is_ok());
}

#[test]
fn what_completes_a_login_is_kept_sealed_and_for_ten_minutes() {
    let world = cheap();
    let client = world.register(1);
    let before = world.store.dump().len();

    let factor = world.factor(&client);

    assert!(!world.holds(&factor.ke3));
    assert!(world.store.dump().len() > before);
    world.pass(HOUR + 10 * MINUTE);
    assert_eq!(world.store.dump().len(), before, "neither login nor count is left");
}

#[test]
fn t25_who_does_not_know_the_password_cannot_tell_whether_a_user_is_there() {
    let (there, not_there) = (cheap(), cheap());
    there.register(1);
    // Registered, too, so that both worlds draw alike; but under another name.
    not_there.register(2);

    let steps = [guess(&there), guess(&not_there)];

    assert_eq!(steps[0], steps[1]);
    let costs: Vec<_> = steps[0].iter().map(|(_, cost)| cost.clone()).collect();
    assert_eq!(costs[0], (vec![3], vec![4], 0, 1), "user and counts; counts, login, and that the user stays");
    assert_eq!(costs[10], (vec![3], vec![], 0, 0), "refused for want of work");
    assert_eq!(costs[11], (vec![3], vec![], 1, 0), "client, user, login");
}

#[test]
fn t25_an_unknown_login_and_one_that_is_over_are_as_a_wrong_password() {
    let world = cheap();
    let client = world.register(1);
    let (wrong, over) = (
        world.log_in_from(&client.id.user, WRONG, (HERE, None)).unwrap(),
        world.log_in_from(&client.id.user, PASSWORD, (HERE, None)).unwrap(),
    );
    let mut unknown = over.clone();
    unknown.login = [0; 16];
    let finish = |factor| {
        let adding = world.adding(&client.id.user, 9, factor);
        done(&world, || world.finish_adding(&adding).err().map(Refusal::from))
    };

    let (wrong, unknown) = (finish(wrong), finish(unknown));
    world.pass_unswept(600);
    let over = finish(over);

    assert_eq!(wrong.0, Some(Reject::Unauthenticated.into()));
    assert_eq!(wrong, unknown);
    assert_eq!(wrong, over);
}

/// What a guesser sees of a user, and what each step costs the AS.
fn guess(world: &World) -> Vec<(Option<Refusal>, Cost)> {
    let user = user(1);
    let mut factor = None;
    let mut steps: Vec<_> = (0..11)
        .map(|_| {
            let begin = || world.log_in_from(&user, WRONG, (HERE, None)).map(|it| factor = Some(it)).err();
            done(world, begin)
        })
        .collect();
    for (refused, _) in &mut steps {
        // The challenge is random.
        if let Some(refused) = refused {
            let (challenge, _) = asked(refused);
            refused.detail = challenge.bits.to_be_bytes().to_vec().into();
        }
    }
    let adding = world.adding(&user, 9, factor.unwrap());
    steps.push(done(world, || world.finish_adding(&adding).err().map(Refusal::from)));
    let right = world.log_in_from(&user, PASSWORD, ("192.0.2.9", None)).unwrap();
    // Of a user that is not there, the right password is as wrong as any.
    let wrong = phoenix_core::api::auth::SecondFactor { ke3: phoenix_core::wire::Opaque::default(), ..right };
    let adding = world.adding(&user, 9, wrong);
    steps.push(done(world, || world.finish_adding(&adding).err().map(Refusal::from)));
    steps
}

/// What a call costs: places of each read, parts of each commit, signatures checked, OPRFs evaluated.
pub(super) type Cost = (Vec<usize>, Vec<usize>, u64, u64);

pub(super) fn done(world: &World, call: impl FnOnce() -> Option<Refusal>) -> (Option<Refusal>, Cost) {
    let (_, _) = (world.reads(), world.commits());
    let work = Work::default();
    let refused = with_default(work.clone(), call);
    let (signatures, oprfs) = (&work.0.signatures, &work.0.oprfs);
    let cost =
        (world.reads(), world.commits(), signatures.load(Ordering::Relaxed), oprfs.load(Ordering::Relaxed));
    (refused, cost)
}

/// Counts what `phoenix_core::work` tells.
#[derive(Clone, Default)]
struct Work(Arc<Counts>);

#[derive(Default)]
struct Counts {
    signatures: AtomicU64,
    oprfs: AtomicU64,
}

impl Subscriber for Work {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "phoenix_core::work"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Kind(&self.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Kind<'a>(&'a Counts);

impl Visit for Kind<'_> {
    fn record_str(&mut self, _: &Field, kind: &str) {
        match kind {
            "signature" => self.0.signatures.fetch_add(1, Ordering::Relaxed),
            "oprf" => self.0.oprfs.fetch_add(1, Ordering::Relaxed),
            _ => panic!("{kind}"),
        };
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// An AS that asks for little work.
fn cheap() -> World {
    let logins = LoginLimits { work_bits: 4, ..LoginLimits::default() };
    World::with(AuthSettings { logins, ..AuthSettings::default() })
}

const WRONG: &[u8] = b"wrong horse";
const HERE: &str = "192.0.2.1";
