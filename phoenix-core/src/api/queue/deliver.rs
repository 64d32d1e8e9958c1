//! How messages come into queues (06, "Delivery").

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{
    super::{Description, Endpoint, ServiceName, federation::RecipientResult},
    MAX_ENTRY, NotifyClass, SealedQueueConfig,
};
use crate::{
    Fqdn,
    wire::{Flag, List, Opaque},
};

/// Delivers a message to at most 250 queues of this homeserver; from a lane, or from a transaction.
pub struct Deliver;

impl Endpoint for Deliver {
    const DESCRIPTION: Description =
        Description::new(0x0212, ServiceName::Qs, "deliver").internal().body(2 << 20);
    type Request = DeliverRequest;
    type Reply = DeliverReply;
}

/// A message from a group's DS for recipients of one domain (07, "Delivery").
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct FanOutMessage {
    /// How urgent it is.
    pub notify: NotifyClass,
    /// Whether it goes to open streams only.
    pub ephemeral: Flag,
    /// When the DS accepted it, in seconds.
    pub accepted_at: u64,
    /// Whom it is for.
    pub recipients: List<Recipient, MAX_RECIPIENTS>,
    /// Sealed for the group's members.
    pub content: Opaque<MAX_ENTRY>,
}

/// One queue that a message is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Recipient {
    /// As in the [`ClientQueueConfig`](super::ClientQueueConfig).
    pub any: Flag,
    /// As in the [`ClientQueueConfig`](super::ClientQueueConfig).
    pub config: SealedQueueConfig,
}

/// A delivery to this homeserver's queues.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DeliverRequest {
    /// The domain whose DS accepted the message.
    pub source: Fqdn,
    /// Set for deliveries of a transaction: its results are kept under this id, so that a repeat changes nothing.
    pub receipt: Option<[u8; 16]>,
    /// To whom what cannot be delivered is told; empty for deliveries of a transaction.
    pub back: Opaque<MAX_BACK>,
    /// Bytes that each recipient counts for at another homeserver: its share of a content that was sent once for all
    /// recipients, also where these are only some of them; 0 within a homeserver.
    pub share: u32,
    /// At most 250 recipients.
    pub message: FanOutMessage,
}

/// What became of a delivery, per recipient.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DeliverReply {
    /// In the order of the recipients.
    pub results: List<RecipientResult, MAX_RECIPIENTS>,
}

/// Recipients of one message: the members of a group (05).
pub const MAX_RECIPIENTS: usize = 1_000;
/// An address for what cannot be delivered, sealed.
pub const MAX_BACK: usize = 512;
