//! What is in queues, and how it is read (06, "Queue").

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::super::{Description, Endpoint, SenderKind, ServiceName};
use crate::{
    ConfigId,
    crypto::HpkeCiphertext,
    wire::{List, Opaque},
};

/// Reads a queue; what lies below `ack_below` is deleted.
pub struct Dequeue;

impl Endpoint for Dequeue {
    const DESCRIPTION: Description = Description::new(0x0209, ServiceName::Qs, "dequeue")
        .local()
        .signed_by(SenderKind::QsClient)
        .harmless();
    type Request = DequeueRequest;
    type Reply = DequeueReply;
}

/// Which entries of a queue are wanted.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DequeueRequest {
    /// The first number wanted.
    pub from: u64,
    /// How many, 1 to 500.
    pub max: u16,
    /// All entries below it were read and may go; at most `from`.
    pub ack_below: u64,
    /// How many seconds to wait for an entry where there is none; at most 30.
    pub wait_s: u8,
}

/// Entries of a queue.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DequeueReply {
    /// In order.
    pub entries: List<QueueEntry, MAX_DEQUEUE>,
    /// How many more wait behind them.
    pub remaining: u32,
    /// Entries below this number were dropped unread.
    pub gap_before: Option<u64>,
}

/// An entry as it is stored and handed out.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct QueueEntry {
    /// Its number: 0, 1, 2 …
    pub seq: u64,
    /// What it is.
    pub payload: EntryPayload,
}

/// What an entry is, to the queue.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum EntryPayload {
    /// A fresh secret of the ratchet, sealed to the queue encryption key.
    #[tls_codec(discriminant = 1)]
    Ratchet(HpkeCiphertext),
    /// A padded [`Entry`] under the ratchet's next message key.
    #[tls_codec(discriminant = 2)]
    Message(SealedEntry),
}

/// An entry under a message key of the ratchet.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SealedEntry {
    /// Goes into the key's derivation.
    pub salt: [u8; 16],
    /// AES-256-GCM.
    pub ciphertext: Opaque<MAX_ENTRY>,
}

/// The content of an entry, before padding.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Entry {
    /// What the content is.
    pub kind: EntryKind,
    /// The queue config that it came through; zeros in direct queues.
    pub config: ConfigId,
    /// How urgent its sender thinks it is.
    pub notify: NotifyClass,
    /// When the group's DS accepted it, in seconds.
    pub accepted_at: u64,
    /// The client's business (07).
    pub content: Opaque<MAX_ENTRY>,
}

/// What the content of an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum EntryKind {
    /// From a group's DS.
    FanOut = 1,
    /// From another client, through a direct queue.
    Direct = 2,
    /// From the QS: fewer than ten AddPackages of a suite are left.
    PackagesLow = 3,
}

/// How urgent a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum NotifyClass {
    /// No push.
    Silent = 1,
    /// As usual.
    #[default]
    Normal = 2,
    /// At once.
    Urgent = 3,
}

/// Entries in one answer (06).
pub const MAX_DEQUEUE: usize = 500;
/// Longest content of an entry: the largest commit with its welcome (02).
pub const MAX_ENTRY: usize = 2 << 20;
