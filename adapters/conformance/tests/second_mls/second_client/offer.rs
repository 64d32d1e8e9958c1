//! What two clients say to each other and no server reads (04, "Connection establishment"; 07, "Adds"): read from
//! the specification once more, so that what the reference client makes is not its own business alone.

use phoenix_core::{
    AliasHash, ClientId, Fqdn, GroupId, KeyPackageRef,
    api::queue::FriendshipToken,
    credential::ClientCredential,
    crypto::{Chance, HpkeCiphertext, HpkePublicKey, HpkeSecretKey, Signature, pad, unpad},
    wire::{Opaque, Secret, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

/// What friends get of each other.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct FriendshipKeys {
    pub(crate) domain: Fqdn,
    pub(crate) token: FriendshipToken,
    pub(crate) encryption_key: Secret<32>,
    pub(crate) attribution_key: Secret<32>,
}

/// The message of a direct queue that offers a connection.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub(crate) enum DirectMessage {
    #[tls_codec(discriminant = 1)]
    Offer(ConnectionOffer),
}

#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct ConnectionOffer {
    pub(crate) payload: ConnectionOfferTbs,
    pub(crate) signature: Signature,
}

#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
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
    pub(crate) package: [u8; 32],
    pub(crate) created_at: u64,
    pub(crate) expires: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub(crate) enum Target {
    #[tls_codec(discriminant = 1)]
    Client(ClientId),
    #[tls_codec(discriminant = 2)]
    Alias(AliasHash),
}

/// Who invites, and the keys that members share.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Attribution {
    pub(crate) payload: AttributionTbs,
    pub(crate) signature: Signature,
}

#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct AttributionTbs {
    pub(crate) credential: ClientCredential,
    pub(crate) credential_key: Secret<32>,
    pub(crate) profile_key: Secret<32>,
    pub(crate) group: GroupId,
    pub(crate) group_info: [u8; 32],
    pub(crate) package: KeyPackageRef,
}

impl DirectMessage {
    /// Seals an offer to the connection package that it names.
    pub(crate) fn seal<const N: usize>(
        &self,
        to: &HpkePublicKey,
        package: &[u8; 32],
        chance: &mut Chance,
    ) -> Opaque<N> {
        let sealed = to.seal(DIRECT, package, &pad(&self.encode(), LEAST), chance).unwrap();
        Opaque::new(sealed.encode()).unwrap()
    }

    /// Opens an offer with the key of the package that it was sealed to.
    pub(crate) fn open(key: &HpkeSecretKey, package: &[u8; 32], sealed: &[u8]) -> Self {
        let opened = key.open(DIRECT, package, &<HpkeCiphertext>::decode(sealed).unwrap()).unwrap();
        Self::decode(unpad(&opened).unwrap()).unwrap()
    }
}

/// HPKE info of direct messages.
const DIRECT: &[u8] = b"phoenix direct message";
/// To which offers are padded at least.
const LEAST: usize = 2_048;
