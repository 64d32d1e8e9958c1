//! What homeservers say to each other (08).

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{Description, Endpoint, ServiceName};
use crate::{
    Fqdn, KeyId,
    crypto::{HpkeCiphertext, Signature},
    wire::List,
};

/// Takes a transaction of another homeserver's QS. The transaction is its own frame.
pub struct FederatedEnqueue;

impl Endpoint for FederatedEnqueue {
    const DESCRIPTION: Description =
        Description::new(0x0220, ServiceName::Qs, "federated_enqueue").homeserver().body(2 << 20);
    type Request = QsToQsTransaction;
    type Reply = QsToQsReceipt;
}

/// Deliveries from one homeserver to another, signed with label `QsToQsTransaction`. An empty one says "I am
/// here, send me what you hold for me".
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct QsToQsTransaction {
    /// What is signed.
    pub payload: TransactionTbs,
    /// By the source's QS.
    pub signature: Signature,
}

/// The signed part of a [`QsToQsTransaction`].
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct TransactionTbs {
    /// The protocol's version.
    pub version: u16,
    /// Who sends.
    pub source: Fqdn,
    /// Who is to receive.
    pub destination: Fqdn,
    /// Random.
    pub transaction: [u8; 16],
    /// In seconds.
    pub sent_at: u64,
    /// What is delivered.
    pub deliveries: List<SealedDelivery, MAX_DELIVERIES>,
    /// The key that signs.
    pub key: KeyId,
}

/// A [`FanOutMessage`](super::queue::FanOutMessage) sealed to the destination's QS: info "phoenix delivery",
/// aad = [`DeliveryAad`].
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SealedDelivery {
    /// Stays the same over all attempts.
    pub id: [u8; 16],
    /// The delivery key that it is sealed to.
    pub key: KeyId,
    /// What is sealed.
    pub sealed: HpkeCiphertext,
}

/// What a [`SealedDelivery`] is bound to.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DeliveryAad {
    /// Who sends.
    pub source: Fqdn,
    /// Who is to receive.
    pub destination: Fqdn,
    /// The delivery.
    pub id: [u8; 16],
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct QsToQsReceipt {
    /// Which transaction.
    pub transaction: [u8; 16],
    /// For each delivery, in order.
    pub results: List<DeliveryResult, MAX_DELIVERIES>,
    /// What the receiver takes of this source.
    pub limits: FederationLimits,
}

/// What became of one delivery.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DeliveryResult {
    /// Which delivery.
    pub id: [u8; 16],
    /// For each recipient, in order; empty where the delivery was refused as bad.
    pub results: List<RecipientResult, { super::queue::MAX_RECIPIENTS }>,
}

/// What became of a message for one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum RecipientResult {
    /// It is in the queue, or blocked by its owner, which does not show.
    #[tls_codec(discriminant = 1)]
    Delivered,
    /// There is no such queue any more.
    #[tls_codec(discriminant = 2)]
    Gone,
    /// Not now; again in so many seconds.
    #[tls_codec(discriminant = 3)]
    Later(u32),
}

/// What a homeserver takes of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct FederationLimits {
    /// Deliveries a second.
    pub deliveries_per_s: u32,
    /// Bytes a second.
    pub bytes_per_s: u32,
    /// Seconds to wait before the next transaction.
    pub retry_after_s: u32,
}

/// Deliveries in one transaction (08).
pub const MAX_DELIVERIES: usize = 256;
