//! What other homeservers say that they take (08, "Inbound limits").
//!
//! The QS is told it in receipts, the DS holds back its groups by it. Neither knows the other: what one hints at, the
//! other finds in the context of its calls.

use std::collections::BTreeMap;

use crate::{
    Fqdn, Timestamp,
    api::federation::FederationLimits,
    board::Board,
    limit::{LeastTaken, Limits},
    time::HOUR,
};

/// What is known of it at one moment; it does not change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertised(BTreeMap<Fqdn, Told>);

/// What a homeserver told, and about when it did so last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    limits: FederationLimits,
    at: Timestamp,
}

/// What is sent to a homeserver, as its limits count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Recipients.
    pub deliveries: usize,
    /// Bytes of content, which is sent once for all recipients.
    pub bytes: usize,
}

impl Advertised {
    /// For how many microseconds a homeserver is busy with this, if it takes no more than it said; of one that said
    /// nothing yet what is usual is taken for true.
    #[must_use]
    pub fn busy_us(&self, domain: &Fqdn, sent: Sent) -> u32 {
        busy_us(self.of(domain), sent)
    }

    /// The same, for what senders are held back by: a homeserver that says it takes next to nothing must not silence
    /// the groups that it has members in. What is too much for it waits in its mailbox.
    #[must_use]
    pub fn least_busy_us(&self, domain: &Fqdn, sent: Sent, least: LeastTaken) -> u32 {
        let limits = self.of(domain);
        let deliveries_per_s = limits.deliveries_per_s.max(least.deliveries_per_s);
        let bytes_per_s = limits.bytes_per_s.max(least.bytes_per_s);
        busy_us(FederationLimits { deliveries_per_s, bytes_per_s, ..limits }, sent)
    }

    fn of(&self, domain: &Fqdn) -> FederationLimits {
        self.0.get(domain).map_or_else(|| Limits::default().advertised(), |told| told.limits)
    }

    /// These, and what a homeserver told now. Where there are too many, the one makes room that said nothing for the
    /// longest time: with its next receipt it says it again.
    fn with(&self, domain: Fqdn, told: Told) -> Self {
        let mut all = self.0.clone();
        all.insert(domain, told);
        if all.len() > MAX_KNOWN {
            let oldest = all.iter().min_by_key(|(_, told)| told.at).map(|(domain, _)| domain.clone());
            oldest.and_then(|domain| all.remove(&domain));
        }
        Self(all)
    }

    /// Whether nothing is new about this.
    fn knows(&self, domain: &Fqdn, told: Told) -> bool {
        match self.0.get(domain) {
            Some(known) => known.limits == told.limits && told.at < known.at.plus_secs(AGAIN_S),
            // What is taken for true anyway.
            None => told.limits == Limits::default().advertised(),
        }
    }
}

fn busy_us(limits: FederationLimits, sent: Sent) -> u32 {
    let span = |amount: usize, per_s: u32| {
        let amount = u64::try_from(amount).unwrap_or(u64::MAX);
        amount.saturating_mul(MICROS_PER_S).div_ceil(u64::from(per_s.max(1)))
    };
    let of_deliveries = span(sent.deliveries, limits.deliveries_per_s);
    let span = of_deliveries.max(span(sent.bytes, limits.bytes_per_s));
    u32::try_from(span).unwrap_or(u32::MAX)
}

/// Where it is noted what homeservers say: all is copied only when somebody says something new.
pub(crate) type AdvertisedBoard = Board<Advertised>;

impl AdvertisedBoard {
    /// Notes what a homeserver told.
    pub(crate) fn note(&self, domain: Fqdn, limits: FederationLimits, now: Timestamp) {
        let told = Told { limits, at: now };
        if self.current().knows(&domain, told) {
            return;
        }
        self.change(|current| current.with(domain, told));
    }
}

const MICROS_PER_S: u64 = 1_000_000;
/// Homeservers whose limits are known: more than are spoken to at a time, and about 100 KB.
const MAX_KNOWN: usize = 1_024;
/// How often it is noted that somebody still says the same.
const AGAIN_S: u64 = HOUR;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Advertised, AdvertisedBoard, MAX_KNOWN, Sent};
    use crate::{Fqdn, Timestamp, api::federation::FederationLimits, limit::Limits};

    fn domain(number: usize) -> Fqdn {
        format!("d{number:05}.test").parse().unwrap()
    }

    fn limits(deliveries_per_s: u32, bytes_per_s: u32) -> FederationLimits {
        FederationLimits { deliveries_per_s, bytes_per_s, retry_after_s: 0 }
    }

    fn sent(deliveries: usize, bytes: usize) -> Sent {
        Sent { deliveries, bytes }
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn a_homeserver_is_busy_with_the_deliveries_or_the_bytes_whichever_takes_it_longer() {
        let board = AdvertisedBoard::default();
        board.note(domain(1), limits(100, 1_000), at(1));

        let known = board.current();

        assert_eq!(known.busy_us(&domain(1), sent(1, 1)), 10_000);
        assert_eq!(known.busy_us(&domain(1), sent(1, 500)), 500_000);
        assert_eq!(known.busy_us(&domain(2), sent(1, 0)), 500, "what is usual");
        assert_eq!(
            known.least_busy_us(&domain(1), sent(1, 1), Limits::default().least_taken),
            2_500,
            "senders are held back by no less"
        );
    }

    #[test]
    fn who_says_that_it_takes_nothing_or_everything_is_believed_without_harm() {
        let board = AdvertisedBoard::default();
        board.note(domain(1), limits(0, 0), at(1));
        board.note(domain(2), limits(u32::MAX, u32::MAX), at(1));

        let known = board.current();

        assert_eq!(known.busy_us(&domain(1), sent(usize::MAX, usize::MAX)), u32::MAX);
        assert_eq!(known.busy_us(&domain(1), sent(2, 0)), 2_000_000);
        assert_eq!(known.busy_us(&domain(2), sent(256, 1 << 20)), 245);
    }

    #[test]
    fn of_endless_homeservers_those_are_known_that_spoke_last() {
        let board = AdvertisedBoard::default();
        for number in 0..MAX_KNOWN + 10 {
            board.note(domain(number), limits(7, 7), at(number as u64));
        }

        let known = board.current();

        assert_eq!(known.0.len(), MAX_KNOWN);
        assert_eq!(known.busy_us(&domain(9), sent(1, 0)), 500, "forgotten");
        assert_eq!(known.busy_us(&domain(10), sent(1, 0)), 142_858);
    }

    #[test]
    fn what_is_usual_and_what_is_known_copies_nothing() {
        let board = AdvertisedBoard::default();
        board.note(domain(1), Limits::default().advertised(), at(1));
        assert_eq!(*board.current(), Advertised::default());
        board.note(domain(1), limits(1, 1), at(1));
        let before = board.current();

        board.note(domain(1), limits(1, 1), at(2));

        assert!(std::sync::Arc::ptr_eq(&before, &board.current()));
    }
}
