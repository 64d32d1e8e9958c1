//! T12, a token spent twice: by many at once, across replicas, around a call that is dropped, and around a store that
//! fails. Of each endpoint that costs a token, the recorded call of the story is what it pays for.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use phoenix_conformance::{
    store::{Call as StoreCall, Strike},
    world::{Answer, Arena, Books, Recorded, Tape, recorded},
};
use phoenix_core::{
    ErrorCode,
    api::{Endpoint, auth::EnqueueOffer},
    port::StoreError,
    wire::{Call, Opaque},
};

#[test]
fn t12_a_token_that_64_tasks_spend_at_once_on_two_replicas_buys_one_effect() {
    for (number, recorded) in costing_a_token().into_iter().enumerate() {
        let name = recorded.outgoing.name;
        let tape = Tape::of_seed(number as u64);
        let mut arena = Arena::of(&recorded, 2, &tape, spare).unwrap();
        let once = once(&mut arena);

        let calls = (0..TASKS).map(|number| arena.with_fresh_frame(number)).collect();
        let answers = arena.give(calls).unwrap();

        let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(accepted, 1, "{name}");
        assert_eq!(arena.books(), once, "{name}: one effect, one token");
        let refused = answers.iter().filter_map(|answer| answer.as_ref().err().map(|error| error.code));
        assert!(refused.clone().all(is_spent), "{name}: {:?}", refused.collect::<Vec<_>>());
    }
}

#[test]
fn t12_a_token_that_pays_for_64_different_messages_brings_one() {
    let recorded = recorded();
    let recorded = recorded.iter().find(|it| it.outgoing.name == EnqueueOffer::DESCRIPTION.name).unwrap();
    let mut arena = Arena::of(recorded, 2, &Tape::of_seed(64), spare).unwrap();
    let once = once(&mut arena);
    let different = |number: u8| {
        let mut call = recorded.outgoing.call.clone();
        let mut body = call.body.as_slice().to_vec();
        // The message comes last.
        *body.last_mut().unwrap() ^= number;
        call.body = Opaque::new(body).unwrap();
        call
    };

    let answers = arena.give((0..TASKS).map(different).collect()).unwrap();

    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(arena.books(), once);
}

#[test]
fn t12_a_call_that_is_dropped_after_any_number_of_polls_has_paid_for_what_it_did() {
    let (mut dropped, mut paid) = (0, 0);
    for recorded in costing_a_token() {
        let mut arena = Arena::of(&recorded, 2, &Tape::of_seed(1), spare).unwrap();
        let once = once(&mut arena);
        for polls in 1.. {
            let answer = arena.give_up_after(polls, recorded.outgoing.call.clone()).unwrap();
            let has_paid = judge(&mut arena, once, &format!("dropped after {polls} polls"));
            arena.rewind();
            if let Some(answer) = answer {
                assert!(answer.is_ok() && has_paid, "{}", recorded.outgoing.name);
                break;
            }
            dropped += 1;
            paid += usize::from(has_paid);
        }
    }
    println!("{dropped} calls dropped on their way, {paid} of them had paid already");
    assert!(paid > 0 && paid < dropped, "calls were dropped on one side of their commit only");
}

#[test]
fn t12_a_call_whose_store_fails_at_any_point_has_paid_for_what_it_did() {
    let (mut failed, mut lost, mut paid) = (0, 0, 0);
    for recorded in costing_a_token() {
        let name = recorded.outgoing.name;
        let plan = Bomb::default();
        let mut arena = Arena::of(&recorded, 2, &Tape::of_seed(1), plan.clone().plan()).unwrap();
        let once = once(&mut arena);
        for (is_applied, failures) in [(false, 1), (true, 1), (false, 5), (true, 5)] {
            for number in 0.. {
                plan.light(number, failures, is_applied);
                let answer = arena.give(vec![recorded.outgoing.call.clone()]).unwrap().remove(0);
                let has_struck = plan.defuse();
                let what = format!("{failures} store calls from {number} fail, applied: {is_applied}");
                let has_paid = judge(&mut arena, once, &what);
                assert!(answer.is_err() || has_paid, "{name}, {what}: accepted for nothing");
                arena.rewind();
                if !has_struck {
                    break;
                }
                failed += 1;
                lost += usize::from(answer.is_err());
                paid += usize::from(answer.is_err() && has_paid);
            }
        }
    }
    println!(
        "{failed} calls met a failing store, {lost} were answered by an error, {paid} of these had paid"
    );
    assert!(lost < failed && 0 < paid && paid < lost, "failures of one kind only");
}

/// What a call left behind is either all of it and a spent token, or nothing at all. Then the token is spent again:
/// in the first case in vain, in the second with full effect, once.
fn judge(arena: &mut Arena, once: Books, what: &str) -> bool {
    let name = arena.recorded().outgoing.name;
    let books = arena.books();
    let has_paid = books == once;
    assert!(has_paid || books == NEVER, "{name}, {what}: {books:?}");
    let again = [1, 2].map(|number| arena.with_fresh_frame(number));
    let answers = arena.give(again.to_vec()).unwrap();
    let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(accepted, usize::from(!has_paid), "{name}, {what}: {answers:?}");
    assert_eq!(arena.books(), once, "{name}, {what}: the token bought twice");
    has_paid
}

/// Shows that the recorded call costs one token and has one effect, or none where the answer is all there is to it.
fn once(arena: &mut Arena) -> Books {
    let call: Call = arena.recorded().outgoing.call.clone();
    let answers: Vec<Answer> = arena.give(vec![call]).unwrap();
    let (books, name) = (arena.books(), arena.recorded().outgoing.name);
    assert!(answers[0].is_ok() && books.spent == 1 && books.effects <= 1, "{name}: {answers:?}, {books:?}");
    arena.rewind();
    books
}

fn costing_a_token() -> Vec<Recorded> {
    let costing: Vec<_> = recorded().into_iter().filter(|it| it.outgoing.call.token.is_some()).collect();
    assert!(costing.len() >= 10, "only {} endpoints cost a token", costing.len());
    costing
}

/// What the second of two is told: it is spent, or, where it shows earlier, that what it would do is done.
fn is_spent(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::TokenSpent | ErrorCode::Conflict | ErrorCode::AlreadyExists)
}

fn spare(_: u64, _: StoreCall<'_>) -> Strike {
    Strike::Spare
}

/// Store calls that fail, once it is lit.
#[derive(Clone, Default)]
struct Bomb {
    /// Calls until it strikes, those it strikes, and how: as one number each, all read and written in one thread.
    until: Arc<AtomicU64>,
    left: Arc<AtomicU64>,
    after: Arc<AtomicU64>,
    failures: Arc<AtomicU64>,
}

impl Bomb {
    fn light(&self, until: u64, failures: u64, is_applied: bool) {
        self.until.store(until, Ordering::Relaxed);
        self.left.store(failures, Ordering::Relaxed);
        self.failures.store(failures, Ordering::Relaxed);
        self.after.store(is_applied.into(), Ordering::Relaxed);
    }

    /// Whether it struck.
    fn defuse(&self) -> bool {
        self.left.swap(0, Ordering::Relaxed) < self.failures.load(Ordering::Relaxed)
    }

    fn plan(self) -> impl Fn(u64, StoreCall<'_>) -> Strike + Clone + Send + Sync + 'static {
        move |_, _| {
            if self.left.load(Ordering::Relaxed) == 0 {
                return Strike::Spare;
            }
            if self.until.load(Ordering::Relaxed) > 0 {
                self.until.fetch_sub(1, Ordering::Relaxed);
                return Strike::Spare;
            }
            self.left.fetch_sub(1, Ordering::Relaxed);
            match self.after.load(Ordering::Relaxed) {
                0 => Strike::Before(StoreError::Unavailable),
                _ => Strike::After(StoreError::Unavailable),
            }
        }
    }
}

const TASKS: u8 = 64;
const NEVER: Books = Books { effects: 0, spent: 0 };
