//! What is sealed to a connection package, and comes through a direct queue (04).

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use phoenix_core::{
    Reject,
    api::auth::MAX_OFFER,
    crypto::{Chance, HpkeCiphertext, HpkePublicKey, HpkeSecretKey, pad, unpad},
    wire::{Opaque, Secret, Wire},
};
use sha2::Sha256;
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};
use zeroize::Zeroizing;

use crate::{offer::ConnectionOffer, provision::Provision};

/// A message of a direct queue. Its server sees no more of it than its size.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub(crate) enum DirectMessage {
    /// Someone offers a connection.
    #[tls_codec(discriminant = 1)]
    Offer(ConnectionOffer),
    /// Someone does not want the connection that we offered.
    #[tls_codec(discriminant = 2)]
    Decline(OfferDecline),
    /// A client of our own user gives us what we have in common.
    #[tls_codec(discriminant = 3)]
    Provision(Provision),
}

/// Declines an offer: proves that whoever sends it has read the offer, without naming them (04, step 5).
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct OfferDecline {
    /// SHA-256 of the offer.
    pub(crate) offer: [u8; 32],
    /// HMAC-SHA-256 of that, under a key that follows from the offer's join code.
    pub(crate) mac: Secret<32>,
}

impl DirectMessage {
    /// Seals the message to a connection package: padded, HPKE, with the package's hash as associated data.
    pub(crate) fn seal(
        &self,
        to: &HpkePublicKey,
        package: &[u8; 32],
        chance: &mut Chance,
    ) -> Result<Opaque<MAX_OFFER>, Reject> {
        let padded = pad(&self.encode(), LEAST);
        Ok(Opaque::new(to.seal(INFO, package, &padded, chance)?.encode())?)
    }

    /// Opens a message with the key of the package that it was sealed to; nothing in it is verified yet.
    pub(crate) fn open(key: &HpkeSecretKey, package: &[u8; 32], sealed: &[u8]) -> Result<Self, Reject> {
        let sealed = <HpkeCiphertext>::decode(sealed)?;
        let message = Self::decode(unpad(&key.open(INFO, package, &sealed)?)?)?;
        match &message {
            Self::Offer(offer) if offer.payload.package != *package => Err(Reject::Malformed("package")),
            Self::Provision(given) if given.payload.package != *package => Err(Reject::Malformed("package")),
            Self::Offer(_) | Self::Decline(_) | Self::Provision(_) => Ok(message),
        }
    }
}

impl OfferDecline {
    /// Declines an offer of which one knows the join code.
    pub(crate) fn new(offer: [u8; 32], join_code: &Secret<32>) -> Self {
        Self { offer, mac: mac(&offer, join_code) }
    }

    /// Whether it was made by someone who has read the offer.
    pub(crate) fn holds(&self, join_code: &Secret<32>) -> bool {
        // Secrets are compared in constant time.
        self.mac == mac(&self.offer, join_code)
    }
}

/// HMAC(HKDF(join code, "phoenix decline"), offer) (04, step 5).
fn mac(offer: &[u8; 32], join_code: &Secret<32>) -> Secret<32> {
    let mut key = Zeroizing::new([0; 32]);
    // Expanding fails only for more than 255 blocks, and a key may have any length.
    let expanded = Hkdf::<Sha256>::new(None, join_code.expose()).expand(DECLINE, key.as_mut());
    let mac = Hmac::<Sha256>::new_from_slice(key.as_ref());
    let mac = expanded.ok().and_then(|()| mac.ok());
    Secret::new(mac.map(|mac| mac.chain_update(offer).finalize().into_bytes().into()).unwrap_or_default())
}

/// HKDF info of the key that declines an offer.
const DECLINE: &[u8] = b"phoenix decline";
/// HPKE info of direct messages.
const INFO: &[u8] = b"phoenix direct message";
/// Shortest padded message: all offers that name domains of usual length are of one size, and so is what declines
/// them. A provision is of that size while the user has few friends.
const LEAST: usize = 2_048;

#[cfg(test)]
mod tests {
    use phoenix_core::{
        crypto::{Chance, HpkeSecretKey, Suite},
        wire::{Secret, Wire},
    };

    use super::{DirectMessage, OfferDecline};

    #[test]
    fn only_who_knows_the_join_code_declines_and_only_that_offer() {
        let (code, other) = (Secret::new([1; 32]), Secret::new([2; 32]));

        let decline = OfferDecline::new([3; 32], &code);

        assert!(decline.holds(&code));
        assert!(!decline.holds(&other));
        assert!(!OfferDecline { offer: [4; 32], ..decline }.holds(&code));
    }

    #[test]
    fn the_key_and_the_code_are_those_of_the_specification() {
        // Computed with another implementation: HMAC-SHA-256 under HKDF-SHA-256 without salt.
        let decline = OfferDecline::new([3; 32], &Secret::new([1; 32]));

        let hex: String = decline.mac.expose().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "e044f02dea60bc35e1194c13f6b3b0d2244bf004341d17fd600ad93fa7b8e70e");
    }

    #[test]
    fn a_message_opens_only_for_the_package_that_it_was_sealed_to() {
        let mut chance = Chance::from_seed([1; 32]);
        let key = HpkeSecretKey::generate(Suite::Ed25519, &mut chance);
        let message = DirectMessage::Decline(OfferDecline::new([3; 32], &Secret::new([1; 32])));

        let sealed = message.seal(key.public_key(), &[5; 32], &mut chance).expect("sealed");

        let opened = DirectMessage::open(&key, &[5; 32], &sealed).expect("opened");
        assert_eq!(opened.encode(), message.encode());
        assert!(DirectMessage::open(&key, &[6; 32], &sealed).is_err());
    }
}
