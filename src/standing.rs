//! Which mailboxes' destinations answer, so that those that do not keep none waiting that do.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use phoenix_core::{Timestamp, time::HOUR};

/// How the destinations of mailboxes answer. After a restart nobody has answered.
#[derive(Default)]
pub(crate) struct Standings(Mutex<BTreeMap<[u8; 32], Standing>>);

#[derive(Clone, Copy, Default)]
struct Standing {
    /// Whether it answered when it was asked last.
    answered: bool,
    /// Until then it does not count among those that answer.
    doubtful_until: Timestamp,
}

impl Standings {
    /// Whether a mailbox's destination counts among those that answer.
    pub(crate) fn answers(&self, mailbox: &[u8; 32], now: Timestamp) -> bool {
        self.lock().get(mailbox).is_some_and(|standing| standing.answers(now))
    }

    /// Whether a mailbox's destination answered when it was asked last.
    pub(crate) fn answered_last(&self, mailbox: &[u8; 32]) -> bool {
        self.lock().get(mailbox).is_some_and(|standing| standing.answered)
    }

    /// A mailbox's destination answered, or did not. One that counts among those that answer and does not, is not among
    /// them for an hour: else who answers and hangs in turn would hold the places of others.
    pub(crate) fn note(&self, mailbox: [u8; 32], answered: bool, now: Timestamp) {
        let mut standings = self.lock();
        let standing = standings.entry(mailbox).or_default();
        if !answered && standing.answers(now) {
            standing.doubtful_until = now.plus_secs(HOUR);
        }
        standing.answered = answered;
        if standings.len() > MAX_KNOWN {
            // Whoever is forgotten is found to answer when it is asked next.
            standings.pop_first();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Standing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn answers(&self, now: Timestamp) -> bool {
        self.answered && now >= self.doubtful_until
    }
}

/// Mailboxes of which it is remembered how their destinations answer: of two thousand homeservers.
const MAX_KNOWN: usize = 8_192;

#[cfg(test)]
mod tests {
    use phoenix_core::{Timestamp, time::HOUR};

    use super::Standings;

    #[test]
    fn who_answers_and_hangs_in_turn_counts_among_those_that_answer_once_an_hour() {
        let (standings, mut now, mut counted) = (Standings::default(), Timestamp::from_secs(HOUR), 0);

        for turn in 0..4 * HOUR / 60 {
            standings.note(MAILBOX, true, now);
            counted += usize::from(standings.answers(&MAILBOX, now));
            standings.note(MAILBOX, turn % 2 == 1, now);
            now = now.plus_secs(60);
        }

        assert_eq!(counted, 4);
    }

    #[test]
    fn who_was_away_for_long_counts_again_when_it_answers() {
        let (standings, now) = (Standings::default(), Timestamp::from_secs(HOUR));
        standings.note(MAILBOX, true, now);
        assert!(standings.answers(&MAILBOX, now));

        for minutes in 0..90 {
            standings.note(MAILBOX, false, now.plus_secs(minutes * 60));
        }
        let later = now.plus_secs(90 * 60);
        assert!(!standings.answers(&MAILBOX, later));
        standings.note(MAILBOX, true, later);

        assert!(standings.answers(&MAILBOX, later));
    }

    const MAILBOX: [u8; 32] = [7; 32];
}
