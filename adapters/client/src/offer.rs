//! How two users come to know each other: the offer of a connection (04).

use phoenix_core::{
    AliasHash, ClientId, GroupId, Reject, Timestamp,
    credential::{ClientCredential, VerifiedClientCredential},
    crypto::{Signature, Signer, SignerError, sha256},
    time::DAY,
    wire::{Secret, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::state::FriendshipKeys;

/// An offer of a connection, signed by whoever makes it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct ConnectionOffer {
    pub(crate) payload: ConnectionOfferTbs,
    /// By the credential's key, label `ConnectionOffer`.
    pub(crate) signature: Signature,
}

/// The signed part of an offer. That it names its target and package keeps the target from passing it on as if it
/// were meant for someone else.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct ConnectionOfferTbs {
    pub(crate) credential: ClientCredential,
    pub(crate) group: GroupId,
    pub(crate) ear_key_id: u32,
    pub(crate) ear_key: Secret<32>,
    pub(crate) credential_key: Secret<32>,
    pub(crate) profile_key: Secret<32>,
    pub(crate) join_code: Secret<32>,
    pub(crate) friendship: FriendshipKeys,
    pub(crate) target: Target,
    /// SHA-256 of the connection package, or of an alias's payload.
    pub(crate) package: [u8; 32],
    pub(crate) created_at: u64,
    /// Last second of the offer.
    pub(crate) expires: u64,
}

/// Whom an offer is for.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub(crate) enum Target {
    #[tls_codec(discriminant = 1)]
    Client(ClientId),
    #[tls_codec(discriminant = 2)]
    Alias(AliasHash),
}

impl ConnectionOffer {
    pub(crate) fn sign(payload: ConnectionOfferTbs, signer: &dyn Signer) -> Result<Self, SignerError> {
        let signature = signer.sign(LABEL, &payload.encode())?;
        Ok(Self { payload, signature })
    }

    /// Names the offer.
    pub(crate) fn id(&self) -> [u8; 32] {
        sha256(&self.encode())
    }

    /// Checks that the offer is its sender's, for this target, and that its time has not passed.
    pub(crate) fn verify(
        &self,
        sender: &VerifiedClientCredential,
        target: &Target,
        now: Timestamp,
    ) -> Result<(), Reject> {
        let payload = &self.payload;
        if *sender.credential() != payload.credential || payload.target != *target {
            return Err(Reject::Unauthenticated);
        }
        sender.key().verify(LABEL, &payload.encode(), &self.signature)?;
        if self.is_for(target, now) { Ok(()) } else { Err(Reject::Malformed("expires")) }
    }

    /// Whether the offer is for this target, its time has not passed, and its group is where its sender is.
    pub(crate) fn is_for(&self, target: &Target, now: Timestamp) -> bool {
        let (payload, now) = (&self.payload, now.as_secs());
        let is_short = payload.expires.saturating_sub(payload.created_at) <= MAX_DAYS * DAY;
        let is_current = payload.created_at <= now.saturating_add(CLOCK_MARGIN) && now <= payload.expires;
        let is_at_home = payload.group.domain == payload.credential.payload.client.user.domain;
        payload.target == *target && is_short && is_current && is_at_home
    }
}

/// The struct's name (03, "Labels").
const LABEL: &str = "ConnectionOffer";
/// Longest validity, in days (04).
pub(crate) const MAX_DAYS: u64 = 30;
/// Clocks within five minutes of each other are taken for right (02).
const CLOCK_MARGIN: u64 = 300;
