//! What a mailbox's destination refuses as a whole.

use std::{collections::BTreeSet, ops::Range};

use phoenix_core::{
    ErrorCode, ErrorReply, Reject,
    api::{delivery::Undeliverable, queue::ClientQueueConfig},
    time::HOUR,
    wire::{Flag, Opaque},
};

use super::{federation::forward, later::told, mailboxes::town, world::Home};
use crate::{
    kinds::{ASIDE, MAILBOX, ROUND},
    op::{dispatch::Dispatched, settle::Outcome},
};

#[test]
fn t07_one_bad_delivery_among_many_is_found_by_halves_and_costs_no_other() {
    let (alpha, beta, mut client, config) = town();
    let mut peer = refused_first((&alpha, &beta), &config, 40, 17..18);
    let before = alpha.clock_now();

    let rounds = peer.send_all(&alpha);

    let good: Vec<_> = (0..40).filter(|number| *number != 17).map(|number| number.to_string()).collect();
    assert_eq!(client.read_texts(&beta), good);
    assert!(rounds <= 20, "{rounds}");
    assert_eq!(peer.seen.len(), rounds + 1, "no transaction's id came again");
    assert!(alpha.clock_now().millis_since(before) <= 20_000);
    assert_eq!(alpha.partitions(ASIDE)[0].1.rows.len(), 1);
    assert_eq!(told(&alpha), [(Undeliverable::GivenUp, vec![config.sealed.digest()])]);
    assert_eq!(alpha.partitions(MAILBOX).len() + alpha.partitions(ROUND).len(), 0);
}

#[test]
fn bad_deliveries_one_behind_the_other_are_each_set_aside_and_the_width_comes_back() {
    let (alpha, beta, mut client, config) = town();
    let mut peer = refused_first((&alpha, &beta), &config, 20, 0..3);
    while alpha.partitions(ASIDE).first().is_none_or(|(_, found)| found.rows.len() < 3) {
        peer.send_once(&alpha);
    }

    let widths: Vec<_> = std::iter::from_fn(|| peer.send_once(&alpha)).collect();

    assert_eq!(widths, [1, 2, 4, 8, 2]);
    assert_eq!(client.read_texts(&beta), (3..20).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_refusal_that_is_not_of_what_was_sent_costs_no_message_and_narrows_nothing() {
    let (alpha, beta, mut client, config) = town();
    forward(&alpha, &beta, &[&config], "patience");
    let of_us = [Reject::Forbidden, Reject::Unauthenticated, Reject::UnsupportedVersion, Reject::NotFound];
    let for_now = [Reject::Unavailable(1), Reject::RateLimited(1), Reject::Internal];
    for reject in of_us.into_iter().chain(for_now) {
        let mailbox = alpha.due_mailboxes()[0];
        let sent = alpha.dispatch(mailbox).unwrap().unwrap();
        alpha.settle(mailbox, &sent, Outcome::from(ErrorReply::from(phoenix_core::Refusal::from(reject))));
        alpha.clock.advance_s(300);
    }
    forward(&alpha, &beta, &[&config], "and more");

    assert_eq!(alpha.send_all(&beta), 2, "it is asked, and then sent both together");
    assert_eq!(client.read_texts(&beta), ["patience", "and more"]);
    assert_eq!(alpha.partitions(ASIDE).len() + alpha.lanes(), 0);
}

#[test]
fn t07_what_breaks_something_at_its_destination_is_found_and_set_aside_where_others_pass() {
    let (alpha, beta, mut client, config) = town();
    let mut peer = refused_first((&alpha, &beta), &config, 40, 17..18);
    peer.says = Outcome::Broke(Flag::Yes);
    let before = alpha.clock_now();

    peer.send_all(&alpha);

    let good: Vec<_> = (0..40).filter(|number| *number != 17).map(|number| number.to_string()).collect();
    assert_eq!(client.read_texts(&beta), good);
    assert_eq!(alpha.partitions(ASIDE)[0].1.rows.len(), 1);
    assert_eq!(told(&alpha), [(Undeliverable::GivenUp, vec![config.sealed.digest()])]);
    let waited_s = alpha.clock_now().millis_since(before) / 1_000;
    assert!((60..3_600).contains(&waited_s), "{waited_s}");
}

#[test]
fn a_destination_that_breaks_at_everything_costs_one_message_in_hours_and_none_once_it_is_well() {
    let (alpha, beta, mut client, config) = town();
    let mut peer = refused_first((&alpha, &beta), &config, 3, 0..3);
    peer.says = Outcome::Broke(Flag::No);
    let before = alpha.clock_now();

    while alpha.partitions(ASIDE).is_empty() {
        peer.send_once(&alpha);
    }
    let waited_s = alpha.clock_now().millis_since(before) / 1_000;
    for _ in 0..100 {
        peer.send_once(&alpha);
    }
    peer.bad.clear();
    peer.send_all(&alpha);

    assert!((12 * HOUR..36 * HOUR).contains(&waited_s), "{waited_s}");
    assert_eq!(alpha.partitions(ASIDE)[0].1.rows.len(), 1);
    assert_eq!(client.read_texts(&beta), ["1", "2"]);
}

#[test]
fn what_spoke_against_one_message_does_not_speak_against_the_next() {
    let (alpha, beta, mut client, config) = town();
    let mut peer = refused_first((&alpha, &beta), &config, 2, 0..2);
    peer.says = Outcome::Broke(Flag::Yes);
    while alpha.partitions(ASIDE).is_empty() {
        peer.send_once(&alpha);
    }
    for _ in 0..9 {
        peer.send_once(&alpha);
    }

    peer.bad.clear();
    peer.send_all(&alpha);

    assert_eq!(client.read_texts(&beta), ["1"]);
    assert_eq!(alpha.partitions(ASIDE)[0].1.rows.len(), 1);
}

#[test]
fn a_refusal_that_comes_late_sets_nothing_aside() {
    let (alpha, beta, mut client, config) = town();
    forward(&alpha, &beta, &[&config], "one");
    let mailbox = alpha.due_mailboxes()[0];
    let first = alpha.dispatch(mailbox).unwrap().unwrap();
    alpha.clock.advance_s(100);
    let again = alpha.dispatch(mailbox).unwrap().unwrap();

    alpha.settle(mailbox, &first, Outcome::Refused);

    assert_eq!(alpha.partitions(ASIDE).len(), 0);
    assert_eq!(alpha.dispatch(mailbox), Ok(None), "the other transaction keeps the lead");
    let receipt = beta.take(&again.transaction).unwrap();
    alpha.settle(mailbox, &again, Outcome::Receipt(Box::new(receipt)));
    assert_eq!(client.read_texts(&beta), ["one"]);
}

/// Messages of which some are bad to the destination, and that it has refused together once.
fn refused_first<'a>(
    (from, to): (&Home, &'a Home),
    config: &ClientQueueConfig,
    messages: usize,
    bad: Range<usize>,
) -> Picky<'a> {
    for number in 0..messages {
        forward(from, to, &[config], &number.to_string());
    }
    let mailbox = from.due_mailboxes()[0];
    let first = from.dispatch(mailbox).unwrap().unwrap();
    let bad = first.transaction.payload.deliveries[bad].iter().map(|it| it.id).collect();
    let mut peer = Picky { takes: to, bad, says: malformed(), seen: BTreeSet::new() };
    from.settle(mailbox, &first, peer.answer(&first));
    peer
}

fn malformed() -> Outcome {
    ErrorReply { code: ErrorCode::Malformed, retry_after_s: None, detail: Opaque::default() }.into()
}

/// A homeserver that refuses every transaction which holds something bad.
struct Picky<'a> {
    takes: &'a Home,
    bad: Vec<[u8; 16]>,
    says: Outcome,
    /// The ids of the transactions that came.
    seen: BTreeSet<[u8; 16]>,
}

impl Picky<'_> {
    fn answer(&mut self, sent: &Dispatched) -> Outcome {
        let payload = &sent.transaction.payload;
        self.seen.insert(payload.transaction);
        if payload.deliveries.iter().any(|it| self.bad.contains(&it.id)) {
            return self.says.clone();
        }
        Outcome::Receipt(Box::new(self.takes.take(&sent.transaction).unwrap()))
    }

    /// Sends what is due next, and tells how many deliveries that were; none where nothing waits any more.
    fn send_once(&mut self, from: &Home) -> Option<usize> {
        while let Some((_, found)) = from.partitions(MAILBOX).into_iter().next() {
            let Some(mailbox) = from.due_mailboxes().first().copied() else {
                from.clock.advance_s(1);
                assert!(found.alarm.is_some(), "it waits for something");
                continue;
            };
            let Some(sent) = from.dispatch(mailbox).unwrap() else { continue };
            let outcome = self.answer(&sent);
            from.settle(mailbox, &sent, outcome);
            return Some(sent.rows.len());
        }
        None
    }

    fn send_all(&mut self, from: &Home) -> usize {
        std::iter::from_fn(|| self.send_once(from)).take(100).count()
    }
}
