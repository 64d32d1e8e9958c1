//! Reading a queue (06, `dequeue`).

use tls_codec::Size;

use super::Head;
use crate::{
    Reject,
    api::queue::{DequeueReply, DequeueRequest, MAX_DEQUEUE, QueueEntry},
    wire::List,
};

/// Checks the numbers of a request: at most 500 entries, acknowledging nothing that it asks for, waiting 30 s at most.
///
/// # Errors
/// [`Reject::Malformed`], naming the field.
pub fn check_dequeue(request: &DequeueRequest) -> Result<(), Reject> {
    let DequeueRequest { from, max, ack_below, wait_s } = *request;
    if max == 0 || usize::from(max) > MAX_DEQUEUE {
        return Err(Reject::Malformed("max"));
    }
    if ack_below > from {
        return Err(Reject::Malformed("ack_below"));
    }
    if wait_s > MAX_WAIT_S { Err(Reject::Malformed("wait_s")) } else { Ok(()) }
}

impl Head {
    /// The answer to a request, from the entries read at or after `from`, in order: as many as are asked for and fit
    /// into [`MAX_REPLY_BYTES`], but always one where there is one.
    ///
    /// # Errors
    /// None in practice: the list is cut to its bound.
    pub fn reply(&self, request: &DequeueRequest, entries: Vec<QueueEntry>) -> Result<DequeueReply, Reject> {
        let mut bytes = 0_usize;
        let fits = |entry: &QueueEntry| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(entry.tls_serialized_len());
            is_first || bytes <= MAX_REPLY_BYTES
        };
        let wanted = usize::from(request.max).min(MAX_DEQUEUE);
        let entries: Vec<_> = entries.into_iter().take(wanted).take_while(fits).collect();
        // Whoever asks from below the first entry finds nothing there that remains.
        let from = request.from.max(self.first_seq());
        let after = entries.last().map_or(from, |last| last.seq.saturating_add(1));
        let remaining = u32::try_from(self.next_seq().saturating_sub(after)).unwrap_or(u32::MAX);
        let gap_before = self.gap_before().filter(|gap| *gap > request.from);
        Ok(DequeueReply { entries: List::new(entries)?, remaining, gap_before })
    }
}

/// Bytes of entries in one answer: what a client on a slow line takes in seconds; twice the largest entry.
pub const MAX_REPLY_BYTES: usize = 4 << 20;
/// Longest wait for an entry, in seconds (06).
const MAX_WAIT_S: u8 = 30;
