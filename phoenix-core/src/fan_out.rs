//! How a message to many queues is divided (06, "Delivery").

use std::collections::HashSet;

use foldhash::fast::RandomState;
use tls_codec::Size as _;

use crate::{api::queue::FanOutMessage, wire::List};

impl FanOutMessage {
    /// Bytes of its encoding.
    #[must_use]
    pub fn size(&self) -> usize {
        self.tls_serialized_len()
    }

    /// The message in parts that one batch of the store takes each: at most 250 recipients, and fewer where the
    /// content is large, since each queue keeps a copy. A recipient that stands there twice is in one part, once. The
    /// same message always divides in the same way, and one to nobody is one part.
    #[must_use]
    pub fn into_parts(self) -> Vec<Self> {
        let (repeats, fitting) = (self.repeats(), self.fitting());
        let Self { notify, ephemeral, accepted_at, recipients, content } = self;
        let all = recipients.into_iter().zip(repeats);
        let mut once = all.filter(|(_, is_repeat)| !is_repeat).map(|(recipient, _)| recipient).peekable();
        let mut parts = Vec::new();
        loop {
            // Not more than there were.
            let recipients = List::new(once.by_ref().take(fitting).collect()).unwrap_or_default();
            parts.push(Self { notify, ephemeral, accepted_at, recipients, content: content.clone() });
            if once.peek().is_none() {
                return parts;
            }
        }
    }

    /// Whether one batch of the store takes the message as it is.
    #[must_use]
    pub fn is_one_part(&self) -> bool {
        self.recipients.len() <= self.fitting()
    }

    /// For each recipient, whether the same one stands before it. It gets the message once.
    #[must_use]
    pub fn repeats(&self) -> Vec<bool> {
        let mut seen = HashSet::with_capacity_and_hasher(self.recipients.len(), RandomState::default());
        self.recipients.iter().map(|recipient| !seen.insert(recipient)).collect()
    }

    /// Recipients that one part holds.
    fn fitting(&self) -> usize {
        let copy = self.content.len().saturating_add(ENTRY_OVERHEAD).saturating_mul(PADDED_NUM) / PADDED_DEN;
        MAX_PART_BYTES.checked_div(copy).unwrap_or(MAX_PART).clamp(1, MAX_PART)
    }
}

/// Queues that one batch reaches: with what pays for it and what is remembered of it, a batch has 256 parts at most.
pub const MAX_PART: usize = 250;
/// Bytes of entries in one batch: three quarters of what a batch may hold.
const MAX_PART_BYTES: usize = 6 << 20;
/// An entry is longer than its content by its head, its seal, and perhaps an update of the ratchet before it.
const ENTRY_OVERHEAD: usize = 1 << 10;
/// Padmé adds at most an eighth.
const PADDED_NUM: usize = 9;
const PADDED_DEN: usize = 8;

#[cfg(test)]
mod tests {
    use super::MAX_PART;
    use crate::{
        KeyId,
        api::queue::{FanOutMessage, NotifyClass, Recipient, SealedQueueConfig},
        crypto::HpkeCiphertext,
        wire::{Flag, List, Opaque},
    };

    #[test]
    fn a_message_to_many_is_divided_so_that_each_part_fits_into_a_batch() {
        for (recipients, bytes, expected) in
            [(0, 300, 1), (1, 300, 1), (250, 300, 1), (251, 300, 2), (1_000, 300, 4), (10, 1 << 20, 2)]
        {
            let parts = message(recipients, bytes).into_parts();

            assert_eq!(parts.len(), expected, "{recipients} × {bytes}");
            assert!(parts.iter().all(|part| part.recipients.len() <= MAX_PART));
            assert_eq!(parts.iter().map(|part| part.recipients.len() as u128).sum::<u128>(), recipients);
        }
    }

    #[test]
    fn a_recipient_that_stands_twice_is_in_one_part_once() {
        let once = message(200, 300);
        let all = [once.recipients.to_vec(), once.recipients.to_vec()].concat();
        let twice = FanOutMessage { recipients: List::new(all).expect("few"), ..once.clone() };

        assert_eq!(twice.clone().into_parts(), once.into_parts());
        assert_eq!(twice.repeats(), [[false; 200], [true; 200]].concat());
        assert!(!twice.is_one_part());
    }

    fn message(recipients: u128, bytes: usize) -> FanOutMessage {
        let sealed = HpkeCiphertext { enc: Opaque::default(), ciphertext: Opaque::default() };
        let recipient = |number: u128| {
            let key = KeyId(number.to_be_bytes());
            Recipient { any: Flag::No, config: SealedQueueConfig { key, sealed: sealed.clone() } }
        };
        FanOutMessage {
            notify: NotifyClass::Normal,
            ephemeral: Flag::No,
            accepted_at: 0,
            recipients: List::new((0..recipients).map(recipient).collect()).expect("few"),
            content: Opaque::new(vec![0; bytes]).expect("short"),
        }
    }
}
