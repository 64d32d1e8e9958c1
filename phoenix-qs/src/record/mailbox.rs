//! What waits for other homeservers.

use bytes::Bytes;
use phoenix_core::{
    Fault, Sent, Timestamp,
    api::{
        federation::{MAX_DELIVERIES, RecipientResult, SealedDelivery},
        queue::{FanOutMessage, MAX_BACK, MAX_RECIPIENTS},
    },
    crypto::{AtRestKey, Chance},
    wire::{Flag, List, Opaque},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{from_row, to_row};

/// A message that waits for its destination. Stored sealed at rest as a whole.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct MailboxRecord {
    /// The delivery's id.
    pub(crate) id: [u8; 16],
    /// When the DS accepted it, in seconds.
    pub(crate) accepted_at: u64,
    /// To whom what cannot be delivered is told.
    pub(crate) back: Opaque<MAX_BACK>,
    /// The digests of its recipients' queue configs, in order, to tell the DS which of them it did not reach; none
    /// for one that it has reached.
    pub(crate) recipients: List<Option<[u8; 32]>, MAX_RECIPIENTS>,
    /// The message.
    pub(crate) body: MailboxBody,
}

/// The message of a [`MailboxRecord`].
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub(crate) enum MailboxBody {
    /// Sealed to the destination.
    #[tls_codec(discriminant = 1)]
    Sealed(SealedDelivery),
    /// Not yet: the destination's keys are not known.
    #[tls_codec(discriminant = 2)]
    Plain(FanOutMessage),
}

impl MailboxRecord {
    /// The row of this record in a mailbox.
    pub(crate) fn seal(&self, key: &AtRestKey, mailbox: &[u8], chance: &mut Chance) -> Bytes {
        key.seal(mailbox, &to_row(self), chance)
    }

    /// The record of a row.
    ///
    /// # Errors
    /// [`Fault::Broken`] where the row is not what was written there.
    pub(crate) fn open(key: &AtRestKey, mailbox: &[u8], row: &[u8]) -> Result<Self, Fault> {
        from_row(&key.open(mailbox, row)?.into())
    }

    /// The message without the recipients that it has reached by now.
    pub(crate) fn reached(self, results: &[RecipientResult]) -> Self {
        let mut recipients = self.recipients.into_vec();
        for (recipient, result) in recipients.iter_mut().zip(results) {
            if *result == RecipientResult::Delivered {
                *recipient = None;
            }
        }
        // As many as before.
        Self { recipients: List::new(recipients).unwrap_or_default(), ..self }
    }

    /// The digests of those whom it has not reached.
    pub(crate) fn unreached(&self) -> Vec<[u8; 32]> {
        self.recipients.iter().copied().flatten().collect()
    }

    /// What its destination counts it for, as its own rows have it: each recipient that it has not reached, and the
    /// content.
    pub(crate) fn counts_for(&self) -> Sent {
        let bytes = match &self.body {
            MailboxBody::Sealed(delivery) => delivery.sealed.ciphertext.len(),
            MailboxBody::Plain(message) => message.content.len(),
        };
        Sent { deliveries: self.recipients.iter().flatten().count(), bytes }
    }

    /// Whether it has waited for so many seconds.
    pub(crate) fn is_too_old(&self, give_up_s: u64, now: Timestamp) -> bool {
        Timestamp::from_secs(self.accepted_at).plus_secs(give_up_s) <= now
    }
}

/// The row of a message that was put off: rows of one time lie in the order of the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct LaterKey {
    /// When it may be sent again, in milliseconds.
    pub(crate) until: u64,
    /// Its number in the mailbox.
    pub(crate) number: u64,
    /// The delivery's id: numbers come again when a mailbox was empty.
    pub(crate) id: [u8; 16],
}

/// How far sending of a mailbox is.
#[derive(Clone, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct RoundRecord {
    /// The transaction that is under way.
    pub(crate) transaction: Option<[u8; 16]>,
    /// Nothing is sent before this time, in milliseconds.
    pub(crate) until: u64,
    /// Attempts that failed since the last that did not.
    pub(crate) attempts: u32,
    /// When the first of those failed, in milliseconds.
    pub(crate) failing_since: Option<u64>,
    /// How many deliveries the next transaction may hold.
    pub(crate) width: Width,
    /// The message that the destination broke at when it was sent alone.
    pub(crate) suspect: Option<Suspect>,
}

/// A message that may be what breaks something at its destination, or may not: the destination may be ill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Suspect {
    /// Its number in the mailbox.
    pub(crate) row: u64,
    /// What speaks against it.
    pub(crate) weight: u32,
}

impl Suspect {
    /// The message of this row after the destination broke at it once more; `others_pass` where it took others meanwhile.
    pub(crate) fn again(before: Option<Self>, row: u64, others_pass: Flag) -> Self {
        let before = before.filter(|it| it.row == row).map_or(0, |it| it.weight);
        let more = if others_pass.is_set() { OTHERS_PASS } else { 1 };
        Self { row, weight: before.saturating_add(more) }
    }

    /// Whether so much speaks against it that it must not hold up others any longer.
    pub(crate) const fn is_bad(self) -> bool {
        self.weight >= BAD
    }
}

/// How many deliveries a transaction may hold: fewer after one was refused as bad, so that the bad delivery is found
/// and the others are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Width(u16);

impl Width {
    /// Half of the deliveries that were refused together; at least one.
    pub(crate) fn half_of(deliveries: usize) -> Self {
        let half = deliveries.div_ceil(2).clamp(1, MAX_DELIVERIES);
        Self(u16::try_from(half).unwrap_or(FULL))
    }

    /// What may be tried after so many were taken.
    pub(crate) fn grown(self) -> Self {
        Self(self.0.saturating_mul(2).min(FULL))
    }

    pub(crate) fn deliveries(self) -> usize {
        usize::from(self.0)
    }
}

impl Default for Width {
    fn default() -> Self {
        Self(FULL)
    }
}

/// What speaks against a message each time that its destination broke at it, but took others.
const OTHERS_PASS: u32 = 50;
/// When enough speaks against it: after ten times at which others were taken, which a destination that breaks at every
/// second transaction does with one in a thousand; else after five hundred, which with pauses of five minutes at most is
/// the better part of a day.
const BAD: u32 = 500;
/// As many as a transaction holds.
const FULL: u16 = 256;
const _: () = assert!(FULL as usize == MAX_DELIVERIES);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use phoenix_core::{
        api::{
            federation::{
                RecipientResult::{Delivered, Gone, Later},
                SealedDelivery,
            },
            queue::MAX_BACK,
        },
        crypto::HpkeCiphertext,
        wire::{List, Opaque},
    };

    use super::{MailboxBody, MailboxRecord, Width};

    #[test]
    fn whom_a_message_has_reached_once_is_never_told_to_be_gone() {
        let sealed = HpkeCiphertext { enc: Opaque::default(), ciphertext: Opaque::default() };
        let record = MailboxRecord {
            id: [1; 16],
            accepted_at: 0,
            back: Opaque::<MAX_BACK>::default(),
            recipients: List::new(vec![Some([1; 32]), Some([2; 32]), Some([3; 32])]).unwrap(),
            body: MailboxBody::Sealed(SealedDelivery {
                id: [1; 16],
                key: phoenix_core::KeyId([0; 16]),
                sealed,
            }),
        };

        let record = record.reached(&[Delivered, Gone, Later(60)]);
        assert_eq!(record.unreached(), [[2; 32], [3; 32]]);
        assert_eq!(record.reached(&[Gone, Gone, Delivered]).unreached(), [[2; 32]]);
    }

    #[test]
    fn what_is_refused_together_is_halved_down_to_one_and_what_is_taken_doubles_up_to_the_full_width() {
        let mut narrower = vec![Width::default().deliveries()];
        while narrower.last() != Some(&1) {
            narrower.push(Width::half_of(*narrower.last().unwrap()).deliveries());
        }
        let wider = std::iter::successors(Some(Width::half_of(1)), |width| Some(width.grown()));

        assert_eq!(narrower, [256, 128, 64, 32, 16, 8, 4, 2, 1]);
        assert_eq!(Width::half_of(1).deliveries(), 1);
        assert_eq!(Width::half_of(3).deliveries(), 2);
        assert_eq!(
            wider.take(10).map(Width::deliveries).collect::<Vec<_>>(),
            [1, 2, 4, 8, 16, 32, 64, 128, 256, 256]
        );
    }
}
