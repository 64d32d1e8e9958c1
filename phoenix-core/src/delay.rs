//! Towards which homeservers delivery is delayed (07, "Accepting a commit").
//!
//! The QS finds it out when it sends, the DS tells it to those who send. Neither knows the other: what one hints at,
//! the other finds in the context of its calls. So does the QS itself, whose mailboxes of one homeserver know of each
//! other by it whether that answers.

use std::collections::BTreeMap;

use crate::{
    Fqdn, Timestamp,
    api::delivery::{Delayed, MAX_DELAYED},
    board::Board,
    wire::List,
};

/// That a homeserver does not take what is sent to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delay {
    /// Since when.
    pub since: Timestamp,
    /// When the next attempt must have come to something; from then on nobody is told of it.
    pub until: Timestamp,
    /// Attempts in a row that it failed, from whichever mailbox. One that failed for what it held is none.
    pub failures: u32,
    /// When it may be asked again, where it is left alone.
    pub again: Timestamp,
}

/// Whether a homeserver is asked (a circuit breaker).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// It is: it answers, or failed too little to tell.
    Closed,
    /// It is left alone until then.
    Open(Timestamp),
    /// It was left alone for long enough: whoever comes first finds out for all.
    HalfOpen,
}

impl Delay {
    /// Whether that many attempts failed that the others need not try by themselves.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.failures >= OPENS_AT
    }
}

/// What is known of delays at one moment; it does not change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delays(BTreeMap<Fqdn, Delay>);

impl Delays {
    /// Those of these domains that are known to be delayed, each once and in order, for an answer. Where nothing is
    /// delayed, which is the ordinary case, no domain is looked at.
    pub fn towards<'a>(
        &self,
        domains: impl IntoIterator<Item = &'a Fqdn>,
        now: Timestamp,
    ) -> List<Delayed, MAX_DELAYED> {
        if self.0.is_empty() {
            return List::default();
        }
        let found = domains.into_iter().filter_map(|domain| self.0.get_key_value(domain));
        let found = found.filter(|(_, delay)| now < delay.until);
        let once: BTreeMap<&Fqdn, u64> =
            found.map(|(domain, delay)| (domain, delay.since.as_secs())).collect();
        let told = once.into_iter().take(MAX_DELAYED);
        let told = told.map(|(domain, since)| Delayed { domain: domain.clone(), since });
        // Not more than it takes.
        List::new(told.collect()).unwrap_or_default()
    }

    /// What was noted of one of them last.
    #[must_use]
    pub fn of(&self, domain: &Fqdn) -> Option<Delay> {
        self.0.get(domain).copied()
    }

    /// Whether a homeserver is asked.
    #[must_use]
    pub fn breaker(&self, domain: &Fqdn, now: Timestamp) -> Breaker {
        match self.of(domain).filter(Delay::is_open) {
            None => Breaker::Closed,
            Some(delay) if now < delay.again => Breaker::Open(delay.again),
            Some(_) => Breaker::HalfOpen,
        }
    }

    /// These, with what was found out about a domain: that it is delayed, or that it is not. Where there are too many,
    /// those that are over make room; else nothing is kept of another, and senders are not told.
    fn with(&self, domain: Fqdn, delay: Option<Delay>, now: Timestamp) -> Self {
        let mut delays = self.0.clone();
        delays.remove(&domain);
        if let Some(delay) = delay {
            if delays.len() >= MAX_KNOWN {
                delays.retain(|_, delay| now < delay.until);
            }
            if delays.len() < MAX_KNOWN {
                delays.insert(domain, delay);
            }
        }
        Self(delays)
    }
}

/// Where delays are noted: all are copied only when a homeserver begins, goes on or ceases to be out of reach.
pub(crate) type DelayBoard = Board<Delays>;

impl DelayBoard {
    /// Notes what was found out about a domain.
    pub(crate) fn note(&self, domain: Fqdn, delay: Option<Delay>, now: Timestamp) {
        // That one is not delayed is what each transaction finds out.
        if delay.is_none() && !self.current().0.contains_key(&domain) {
            return;
        }
        self.change(|current| current.with(domain, delay, now));
    }
}

/// Failures in a row after which a homeserver is left alone: one more than transactions may be under way to it (08), so
/// that what a moment cuts off together is not yet enough.
const OPENS_AT: u32 = 5;
/// Domains of which is known that they are delayed: more than are down at a time, and about 100 KB.
const MAX_KNOWN: usize = 1_024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::{Breaker, Delay, DelayBoard, MAX_KNOWN, OPENS_AT};
    use crate::{Fqdn, Timestamp, api::delivery::MAX_DELAYED};

    fn domain(number: usize) -> Fqdn {
        format!("d{number:05}.test").parse().unwrap()
    }

    fn delay(since: u64, until: u64) -> Option<Delay> {
        Some(Delay { since: at(since), until: at(until), ..Delay::default() })
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn a_delay_is_told_from_when_it_is_noted_until_it_ends_or_is_over() {
        let (board, domains) = (DelayBoard::default(), [domain(1), domain(2), domain(2), domain(3)]);

        board.note(domain(2), delay(10, 100), at(20));
        let told = board.current().towards(&domains, at(99));
        assert_eq!(
            told.iter().map(|it| (it.domain.clone(), it.since)).collect::<Vec<_>>(),
            [(domain(2), 10)]
        );
        assert!(board.current().towards(&domains, at(100)).is_empty(), "the next attempt is overdue");

        board.note(domain(2), delay(10, 200), at(100));
        assert_eq!(board.current().towards(&domains, at(100))[0].since, 10);
        board.note(domain(2), None, at(110));
        assert!(board.current().towards(&domains, at(110)).is_empty());
    }

    #[test]
    fn who_failed_often_in_a_row_is_left_alone_and_then_asked_until_it_answers() {
        let (board, failed) = (DelayBoard::default(), |failures| {
            Some(Delay { since: at(1), until: at(100), failures, again: at(50) })
        });
        let breaker = |now| board.current().breaker(&domain(1), at(now));
        assert_eq!(breaker(2), Breaker::Closed);

        board.note(domain(1), failed(OPENS_AT - 1), at(2));
        assert_eq!(breaker(3), Breaker::Closed);
        board.note(domain(1), failed(OPENS_AT), at(3));

        assert_eq!(breaker(4), Breaker::Open(at(50)));
        assert_eq!(breaker(50), Breaker::HalfOpen);
        assert_eq!(breaker(100), Breaker::HalfOpen, "however late");
        assert_eq!(board.current().breaker(&domain(2), at(4)), Breaker::Closed, "others");
        board.note(domain(1), None, at(5));
        assert_eq!(breaker(5), Breaker::Closed);
    }

    #[test]
    fn only_those_that_are_asked_for_are_told_and_not_more_than_an_answer_takes() {
        let board = DelayBoard::default();
        for number in 0..MAX_DELAYED + 10 {
            board.note(domain(number), delay(1, 100), at(1));
        }
        let all: Vec<_> = (0..MAX_DELAYED + 10).map(domain).collect();

        assert_eq!(board.current().towards(&all, at(2)).len(), MAX_DELAYED);
        assert_eq!(board.current().towards(&all[5..6], at(2)).len(), 1);
        assert!(board.current().towards(&[domain(7_777)], at(2)).is_empty());
    }

    #[test]
    fn of_endless_domains_so_many_are_known_and_those_that_are_over_make_room() {
        let board = DelayBoard::default();
        for number in 0..MAX_KNOWN + 100 {
            board.note(domain(number), delay(1, 100), at(1));
        }
        assert_eq!(board.current().0.len(), MAX_KNOWN);
        assert!(board.current().towards(&[domain(MAX_KNOWN)], at(2)).is_empty());

        board.note(domain(MAX_KNOWN), delay(100, 200), at(100));

        assert_eq!(board.current().0.len(), 1);
        assert_eq!(board.current().towards(&[domain(MAX_KNOWN)], at(101)).len(), 1);
    }
}
