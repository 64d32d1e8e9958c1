//! What a further client of a user gets from one that is there (04): sealed to its connection package.

use phoenix_core::{
    ClientId, Fingerprint, GroupId, QsUserId, Reject, Timestamp, UserId,
    credential::{ClientCredential, VerifiedClientCredential},
    crypto::{Signature, Signer, SignerError, SigningKey, VerifyingKey},
    time::DAY,
    wire::{Flag, List, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::state::FriendshipKeys;

/// What one client of a user gives another, or a part of it, signed by the one that gives.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Provision {
    pub(crate) payload: ProvisionTbs,
    /// By the credential's key, label `Provision`.
    pub(crate) signature: Signature,
}

/// The signed part of a provision. It names its target and package, so that nobody passes it on.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct ProvisionTbs {
    /// Of the client that gives.
    pub(crate) credential: ClientCredential,
    /// The client that gets.
    pub(crate) target: ClientId,
    /// SHA-256 of its connection package.
    pub(crate) package: [u8; 32],
    /// The same in all parts of one provision.
    pub(crate) created_at: u64,
    pub(crate) shared: Shared,
    /// How many friends there are in all parts.
    pub(crate) friends_in_all: u16,
    /// Those in this part.
    pub(crate) friends: List<KnownFriend, MAX_FRIENDS>,
}

/// What all clients of a user have in common.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Shared {
    /// The user at its QS.
    pub(crate) user: QsUserId,
    /// Its key, with which clients are added there: the suite and 32 secret bytes.
    pub(crate) user_key: SigningKey,
    /// What the user's friends have of it.
    pub(crate) friendship: FriendshipKeys,
}

/// A user that the giving client is connected with.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct KnownFriend {
    pub(crate) user: UserId,
    pub(crate) keys: FriendshipKeys,
    /// The friend's pinned key.
    pub(crate) key: VerifyingKey,
    /// The credential with that key that was seen last.
    pub(crate) credential: Fingerprint,
    /// The key of our user that the friend has pinned.
    pub(crate) ours: VerifyingKey,
    /// Whether the friend was told of the client that gets this.
    pub(crate) is_told: Flag,
    /// The connection group.
    pub(crate) group: GroupId,
}

impl Provision {
    pub(crate) fn sign(payload: ProvisionTbs, signer: &dyn Signer) -> Result<Self, SignerError> {
        let signature = signer.sign(LABEL, &payload.encode())?;
        Ok(Self { payload, signature })
    }

    /// Checks that the provision is its sender's, for this client, and fresh.
    pub(crate) fn verify(
        &self,
        sender: &VerifiedClientCredential,
        target: &ClientId,
        now: Timestamp,
    ) -> Result<(), Reject> {
        if *sender.credential() != self.payload.credential || !self.is_for(target, now) {
            return Err(Reject::Unauthenticated);
        }
        sender.key().verify(LABEL, &self.payload.encode(), &self.signature)
    }

    /// Whether it claims to be from another client of the same user, for this one, and is fresh.
    pub(crate) fn is_for(&self, target: &ClientId, now: Timestamp) -> bool {
        let ProvisionTbs { credential, created_at, .. } = &self.payload;
        let from = &credential.payload.client;
        let is_current = *created_at <= now.as_secs().saturating_add(CLOCK_MARGIN);
        let is_ours = from.user == target.user && from.client != target.client;
        self.payload.target == *target && is_ours && is_current && !is_stale(*created_at, now)
    }
}

/// Whether a provision of that time counts no more.
pub(crate) fn is_stale(created_at: u64, now: Timestamp) -> bool {
    now.as_secs() > created_at.saturating_add(FRESH_S)
}

/// Friends in one provision: some twenty messages, which no allowance of tokens forbids in a day.
pub(crate) const MAX_FRIENDS: usize = 1_000;
/// The struct's name (03, "Labels").
const LABEL: &str = "Provision";
/// How long a provision can be taken, in seconds: both clients are at hand.
const FRESH_S: u64 = DAY;
/// Clocks within five minutes of each other are taken for right (02).
const CLOCK_MARGIN: u64 = 300;
