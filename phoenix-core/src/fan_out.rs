//! How a message to many queues is divided (06, "Delivery").

use crate::{
    api::queue::{FanOutMessage, Recipient},
    wire::List,
};

impl FanOutMessage {
    /// The message in parts that one batch of the store takes each: at most 60 recipients, and fewer where the
    /// content is large, since each queue keeps a copy. The same message always divides in the same way.
    #[must_use]
    pub fn parts(&self) -> Vec<Self> {
        let copy = self.content.len().saturating_add(ENTRY_OVERHEAD).saturating_mul(PADDED_NUM) / PADDED_DEN;
        let fitting = MAX_PART_BYTES.checked_div(copy).unwrap_or(MAX_PART).clamp(1, MAX_PART);
        self.recipients.chunks(fitting).map(|recipients| self.to(recipients)).collect()
    }

    fn to(&self, recipients: &[Recipient]) -> Self {
        let Self { notify, ephemeral, accepted_at, recipients: _, content } = self;
        Self {
            notify: *notify,
            ephemeral: *ephemeral,
            accepted_at: *accepted_at,
            // Not more than there were.
            recipients: List::new(recipients.to_vec()).unwrap_or_default(),
            content: content.clone(),
        }
    }
}

/// Queues that one batch reaches: with what pays for it and what is remembered of it, a batch has 64 parts at most.
pub const MAX_PART: usize = 60;
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
            [(1, 300, 1), (60, 300, 1), (61, 300, 2), (1_000, 300, 17), (10, 1 << 20, 2)]
        {
            let parts = message(recipients, bytes).parts();

            assert_eq!(parts.len(), expected, "{recipients} × {bytes}");
            assert!(parts.iter().all(|part| part.recipients.len() <= MAX_PART));
            assert_eq!(parts.iter().map(|part| part.recipients.len()).sum::<usize>(), recipients);
        }
    }

    fn message(recipients: usize, bytes: usize) -> FanOutMessage {
        let sealed = HpkeCiphertext { enc: Opaque::default(), ciphertext: Opaque::default() };
        let recipient =
            Recipient { any: Flag::No, config: SealedQueueConfig { key: KeyId([0; 16]), sealed } };
        FanOutMessage {
            notify: NotifyClass::Normal,
            ephemeral: Flag::No,
            accepted_at: 0,
            recipients: List::new(vec![recipient; recipients]).expect("few"),
            content: Opaque::new(vec![0; bytes]).expect("short"),
        }
    }
}
