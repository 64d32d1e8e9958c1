//! The queue engine of QS and AS, and its ratchet (06, "Queue").
//!
//! One record, the [`Head`], says what a queue is; its entries are rows beside it, one for each number, under
//! [`row_key`]. A [`Head`] is a value: each change takes it and gives the next one, with the entries to store. The
//! client's half is [`ClientRatchet`]. [`Months`] say when entries expire. A [`Flow`] is how far a stream of a queue is.

mod client;
mod dequeue;
mod flow;
mod gaps;
mod head;
mod months;
mod ratchet;

pub use client::{ClientRatchet, RatchetError};
pub use dequeue::{MAX_REPLY_BYTES, check_dequeue};
pub use flow::{Flow, Page};
pub use head::{Head, QueuePolicy, RatchetPolicy, WhenFull, row_key};
pub use months::Months;
pub use ratchet::MAX_CONTENT;

#[cfg(test)]
mod tests;
