//! One valid call of each endpoint, cut short, with bits turned, sent elsewhere, at another time, as another
//! endpoint: each is answered with one of the protocol's errors, and changes nothing but what is spent.

#![cfg(feature = "world")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests may panic, and report"
)]

use std::collections::{BTreeMap, BTreeSet};

use phoenix_conformance::world::{Lab, Outcome, Recorded, Tape, recorded};
use phoenix_core::{
    ErrorCode,
    api::{Access, Binding, Description, SenderKind, ServiceName},
    wire::{Audience, AuthFrame, Call, Opaque, Wire},
};

#[test]
fn a_call_cut_short_at_any_length_is_refused_and_changes_nothing() {
    for_each_call(|bench| {
        let call = bench.recorded.outgoing.call.clone();
        let bytes = call.encode();
        for length in 0..bytes.len() {
            assert!(Call::decode(&bytes[..length]).is_err(), "{} decodes with {length} bytes", bench.name());
        }
        for length in 0..call.body.len() {
            let body = Opaque::new(call.body.as_slice()[..length].to_vec()).unwrap();
            bench.is_refused(Call { body, ..call.clone() }, &format!("cut to {length} bytes"));
        }
    });
}

#[test]
fn a_call_with_a_bit_turned_is_refused_and_changes_nothing() {
    let answers = for_each_call(|bench| {
        let tape = Tape::of_seed(u64::from(bench.recorded.outgoing.call.endpoint.0));
        let bytes = bench.recorded.outgoing.call.encode();
        for _ in 0..FLIPS {
            let bit = tape.below(bytes.len() * 8);
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(call) = Call::decode(&flipped) {
                bench.is_refused(call, &format!("bit {bit} turned"));
            }
        }
    });
    for code in
        [ErrorCode::Malformed, ErrorCode::Unauthenticated, ErrorCode::TokenInvalid, ErrorCode::NotFound]
    {
        assert!(answers.contains_key(&Some(code)), "no bit led to {code:?}");
    }
}

#[test]
fn a_call_for_another_homeserver_is_refused_and_changes_nothing() {
    for_each_call(|bench| {
        let call = bench.recorded.outgoing.call.clone();
        let others = bench.lab.domains().into_iter().filter(|domain| *domain != bench.recorded.to);
        for other in others.collect::<Vec<_>>() {
            let (service, name) = (bench.recorded.outgoing.service, bench.recorded.outgoing.name);
            let outcome = bench.lab.give(&other, service, name, call.clone()).unwrap();
            bench.judge(outcome, &format!("sent to {other}"));
        }
    });
}

#[test]
fn a_call_of_another_time_is_refused_and_changes_nothing() {
    for_each_call(|bench| {
        let call = bench.recorded.outgoing.call.clone();
        let Some(frame) = call.auth.clone() else { return };
        for issued_at in [0, frame.issued_at - 3_600, frame.issued_at - 1, frame.issued_at + 1, u64::MAX] {
            let mut frame = frame.clone();
            frame.issued_at = issued_at;
            bench.is_refused(Call { auth: Some(frame), ..call.clone() }, &format!("dated {issued_at}"));
        }
        let recorded = bench.recorded.clone();
        let mut later = Bench::new(Lab::of(&recorded, LATER_MS).unwrap(), recorded, bench.description);
        later.is_refused(call, "too old");
    });
}

#[test]
fn a_call_whose_signature_was_made_for_another_endpoint_or_server_is_refused_and_changes_nothing() {
    let (mut signed, mut unknown) = (Vec::new(), Vec::new());
    for_each_call(|bench| {
        let call = bench.recorded.outgoing.call.clone();
        let Some(frame) = call.auth.clone() else { return };
        let Some(signers) = bench.recorded.signers.clone() else { return unknown.push(bench.name()) };
        signed.push(bench.name());
        let Description { service, .. } = bench.description;
        let here = Audience { service, domain: bench.recorded.to.clone() };
        assert_eq!(signers.sign(&call, here.clone()), Some(frame.clone()), "{}", bench.name());
        let mut others = Vec::new();
        for other in bench.lab.descriptions().iter().filter(|other| other.id != call.endpoint) {
            others.push((Call { endpoint: other.id, ..call.clone() }, here.clone()));
        }
        for service in ServiceName::ALL.into_iter().filter(|other| *other != here.service) {
            others.push((call.clone(), Audience { service, ..here.clone() }));
        }
        for domain in bench.lab.domains().into_iter().filter(|other| *other != here.domain) {
            others.push((call.clone(), Audience { domain, ..here.clone() }));
        }
        for (meant, audience) in others {
            let what = format!("signed as {:?} for {audience:?}", meant.endpoint);
            let other = signers.sign(&meant, audience).unwrap();
            bench.is_unauthenticated(Call { auth: Some(other.clone()), ..call.clone() }, &what);
            // Of two signatures, each must be for this endpoint.
            let co_signatures = other.co_signatures.clone();
            if !co_signatures.is_empty() {
                let mixed = AuthFrame { co_signatures, ..frame.clone() };
                bench.is_unauthenticated(Call { auth: Some(mixed), ..call.clone() }, &format!("co-{what}"));
            }
        }
    });
    println!("signed anew: {signed:?}");
    assert!(unknown.is_empty(), "nobody knows who signed {unknown:?}");
}

#[test]
fn a_call_given_to_another_endpoint_is_refused_and_changes_nothing() {
    for_each_call(|bench| {
        let call = bench.recorded.outgoing.call.clone();
        for other in bench.lab.descriptions() {
            if other.id == bench.description.id || other.access == Access::Internal {
                continue;
            }
            for endpoint in [other.id, call.endpoint] {
                let call = Call { endpoint, ..call.clone() };
                let outcome = bench.lab.give(&bench.recorded.to, other.service, other.name, call).unwrap();
                bench.judge_as(&other, outcome, &format!("given to {}", other.name));
            }
        }
    });
}

#[test]
fn every_endpoint_that_can_be_called_was_recorded_and_its_call_is_valid() {
    let mut names = BTreeSet::new();
    for_each_call(|bench| {
        let is_new = names.insert((bench.recorded.outgoing.service, bench.name()));
        assert!(is_new, "{} is recorded twice", bench.name());
    });
    println!("recorded: {names:?}");
    let described = Lab::of(&recorded()[0], 0).unwrap().descriptions();
    // A stream is opened, and not called; `phoenix-qs` and `phoenix-http` test what opens it.
    let is_called = |it: &&Description| it.access != Access::Internal && it.binding != Binding::WebSocket;
    let reachable = described.iter().filter(is_called);
    let expected: BTreeSet<_> = reachable.map(|it| (it.service, it.name)).collect();
    assert_eq!(names, expected);
}

struct Bench {
    lab: Lab,
    recorded: Recorded,
    description: Description,
    answers: BTreeMap<Option<ErrorCode>, usize>,
}

impl Bench {
    const fn new(lab: Lab, recorded: Recorded, description: Description) -> Self {
        Self { lab, recorded, description, answers: BTreeMap::new() }
    }

    fn name(&self) -> &'static str {
        self.recorded.outgoing.name
    }

    fn is_refused(&mut self, call: Call, what: &str) {
        let (service, name) = (self.recorded.outgoing.service, self.recorded.outgoing.name);
        let outcome = self.lab.give(&self.recorded.to.clone(), service, name, call).unwrap();
        self.judge(outcome, what);
    }

    fn is_unauthenticated(&mut self, call: Call, what: &str) {
        let (service, name) = (self.recorded.outgoing.service, self.recorded.outgoing.name);
        let outcome = self.lab.give(&self.recorded.to.clone(), service, name, call).unwrap();
        let code = outcome.answer.as_ref().map_err(|error| error.code).err();
        assert_eq!(code, Some(ErrorCode::Unauthenticated), "{name}, {what}");
        self.judge(outcome, what);
    }

    /// What nobody signs may be valid still, as another call. A transaction is signed inside its body.
    fn judge(&mut self, outcome: Outcome, what: &str) {
        self.judge_as(&self.description.clone(), outcome, what);
    }

    /// Judges an answer by the description of the endpoint that gave it.
    fn judge_as(&mut self, answering: &Description, outcome: Outcome, what: &str) {
        let name = self.name();
        *self.answers.entry(outcome.answer.as_ref().err().map(|error| error.code)).or_default() += 1;
        let Description { sender, access, .. } = *answering;
        match outcome.answer {
            Ok(_) => {
                let is_signed = sender != SenderKind::Nobody || access == Access::Homeserver;
                assert!(!is_signed, "{name}, {what}, was accepted");
            }
            Err(error) => {
                assert_ne!(error.code, ErrorCode::Internal, "{name}, {what}");
                assert!(
                    outcome.written.is_empty(),
                    "{name}, {what}: {:?} wrote {:?}",
                    error.code,
                    outcome.written
                );
            }
        }
    }
}

/// Tells how often there was which answer; none for success.
fn for_each_call(mut test: impl FnMut(&mut Bench)) -> BTreeMap<Option<ErrorCode>, usize> {
    let mut answers: BTreeMap<_, usize> = BTreeMap::new();
    for recorded in recorded() {
        let mut lab = Lab::of(&recorded, 0).unwrap();
        let outgoing = &recorded.outgoing;
        let described = lab.descriptions().into_iter().find(|it| it.id == outgoing.call.endpoint).unwrap();
        let valid = lab.give(&recorded.to, outgoing.service, outgoing.name, outgoing.call.clone()).unwrap();
        assert!(valid.answer.is_ok(), "the recorded call of {}: {:?}", outgoing.name, valid.answer);
        let mut bench = Bench::new(lab, recorded.clone(), described);
        test(&mut bench);
        for (answer, count) in bench.answers {
            *answers.entry(answer).or_default() += count;
        }
    }
    println!("{answers:?}");
    answers
}

/// Bits turned in each call.
const FLIPS: usize = 1_000;
/// More than a frame may be old (02).
const LATER_MS: u64 = 6 * 60 * 1_000;
