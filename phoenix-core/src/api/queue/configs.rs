//! Queue configs: where the messages of a group or for a joiner go (06, "Delivery").

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    ConfigId, Fqdn, KeyId, QsClientId,
    crypto::{HpkeCiphertext, Signature},
    time::Month,
    wire::{Flag, Secret},
};

/// Where a group's DS sends a member's messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ClientQueueConfig {
    /// The member's homeserver.
    pub domain: Fqdn,
    /// Whether any DS may use it; else the group's only.
    pub any: Flag,
    /// The rest, for the member's QS only.
    pub sealed: SealedQueueConfig,
}

/// A [`QueueConfig`] sealed to the QS: info "phoenix queue config", aad = the byte of `any`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SealedQueueConfig {
    /// The queue config key that it is sealed to.
    pub key: KeyId,
    /// What is sealed, in [`MAX_CONFIG`] bytes at most: rosters and caches hold many of them.
    pub sealed: HpkeCiphertext<{ MAX_CONFIG }>,
}

/// Which queue to deliver to, and for whom. Signed by the client's auth key, label `QueueConfig`, over the
/// payload.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct QueueConfig {
    /// What is signed.
    pub payload: QueueConfigTbs,
    /// By the client's auth key.
    pub signature: Signature,
}

/// The signed part of a [`QueueConfig`].
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct QueueConfigTbs {
    /// The queue.
    pub client: QsClientId,
    /// Names the config to its owner.
    pub config: ConfigId,
    /// The domain whose DS may use it; none for any.
    pub audience: Option<Fqdn>,
    /// The last month in which it may be used.
    pub expires: Month,
    /// Configs below the client's `min_generation` are void.
    pub generation: u32,
    /// Opens the client's push token, where a push is wanted.
    pub push_key: Option<Secret<32>>,
}

/// Most bytes of a queue config that is sealed.
pub const MAX_CONFIG: usize = 1 << 10;
