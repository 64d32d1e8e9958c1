//! Sealing to a public key: HPKE in base mode (RFC 9180), with the suites of 03.

use std::{fmt, io};

use ::hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable,
    aead::AesGcm128,
    kdf::HkdfSha256,
    kem::{DhP256HkdfSha256, X25519HkdfSha256},
    single_shot_open, single_shot_seal_with_rng,
};
use tls_codec::{DeserializeBytes, Error, Serialize, Size};
use zeroize::Zeroize;

use super::{Chance, HpkeCiphertext, HpkePublicKey, Suite};
use crate::{
    Reject,
    wire::{Opaque, Secret, Wiped},
};

/// Opens what was sealed to its public key. Also for the init keys of MLS KeyPackages, whose suites are the same
/// (RFC 9420 §5.1).
///
/// Its encoding, for sealed storage only, is the suite and 32 secret bytes.
#[derive(Clone)]
pub struct HpkeSecretKey {
    secret: Secret<32>,
    public: HpkePublicKey,
}

impl HpkeSecretKey {
    /// A fresh key.
    #[must_use]
    pub fn generate(suite: Suite, chance: &mut Chance) -> Self {
        match suite {
            Suite::Ed25519 => generate::<X25519HkdfSha256>(suite, chance),
            Suite::P256 => generate::<DhP256HkdfSha256>(suite, chance),
        }
    }

    /// The key that was stored.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where the bytes are no key of the suite.
    pub fn from_secret_bytes(suite: Suite, secret: &Secret<32>) -> Result<Self, Reject> {
        match suite {
            Suite::Ed25519 => restore::<X25519HkdfSha256>(suite, secret),
            Suite::P256 => restore::<DhP256HkdfSha256>(suite, secret),
        }
    }

    /// The key's secret bytes, for sealed storage: an X25519 scalar or a P-256 scalar (RFC 9180 §7.1.2).
    #[must_use]
    pub fn to_secret_bytes(&self) -> Secret<32> {
        self.secret.clone()
    }

    /// The key to seal to.
    #[must_use]
    pub fn public_key(&self) -> &HpkePublicKey {
        &self.public
    }

    /// Opens a message.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where it was not sealed to this key with this info and associated data.
    pub fn open<const MAX: usize>(
        &self,
        info: &[u8],
        aad: &[u8],
        sealed: &HpkeCiphertext<MAX>,
    ) -> Result<Wiped, Reject> {
        match self.public.suite {
            Suite::Ed25519 => {
                open::<X25519HkdfSha256>(&self.secret, info, aad, &sealed.enc, &sealed.ciphertext)
            }
            Suite::P256 => open::<DhP256HkdfSha256>(&self.secret, info, aad, &sealed.enc, &sealed.ciphertext),
        }
    }
}

impl HpkePublicKey {
    /// Seals a message to this key.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where the key is not a point of its suite's curve that a secret can be shared with;
    /// [`Reject::TooLarge`] for more than 2 MiB.
    pub fn seal(
        &self,
        info: &[u8],
        aad: &[u8],
        plaintext: &[u8],
        chance: &mut Chance,
    ) -> Result<HpkeCiphertext, Reject> {
        match self.suite {
            Suite::Ed25519 => seal::<X25519HkdfSha256>(&self.key, info, aad, plaintext, chance),
            Suite::P256 => seal::<DhP256HkdfSha256>(&self.key, info, aad, plaintext, chance),
        }
    }

    /// Whether messages can be sealed to it: to be asked of every key that is taken from a stranger and kept.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where the key is not a point of its suite's curve.
    pub fn check(&self) -> Result<(), Reject> {
        let is_point = match self.suite {
            Suite::Ed25519 => is_usable_x25519(&self.key),
            Suite::P256 => <DhP256HkdfSha256 as Kem>::PublicKey::from_bytes(&self.key).is_ok(),
        };
        if is_point { Ok(()) } else { Err(Reject::Malformed("encryption key")) }
    }
}

/// A trial: points of small order share no secret, and only the library knows them all.
fn is_usable_x25519(key: &[u8]) -> bool {
    seal::<X25519HkdfSha256>(key, b"", b"", b"", &mut Chance::from_seed([0; 32])).is_ok()
}

fn generate<K: Kem>(suite: Suite, chance: &mut Chance) -> HpkeSecretKey {
    let (secret, public) = K::gen_keypair_with_rng(chance);
    keypair::<K>(suite, &secret, &public)
}

fn restore<K: Kem>(suite: Suite, secret: &Secret<32>) -> Result<HpkeSecretKey, Reject> {
    let secret = K::PrivateKey::from_bytes(secret.expose()).map_err(|_| Reject::Malformed("secret key"))?;
    Ok(keypair::<K>(suite, &secret, &K::sk_to_pk(&secret)))
}

fn keypair<K: Kem>(suite: Suite, secret: &K::PrivateKey, public: &K::PublicKey) -> HpkeSecretKey {
    let mut serialised = secret.to_bytes();
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(serialised.iter()).for_each(|(to, from)| *to = *from);
    serialised.zeroize();
    let key = Opaque::truncated(public.to_bytes().to_vec().into());
    let keypair = HpkeSecretKey { secret: Secret::new(bytes), public: HpkePublicKey { suite, key } };
    bytes.zeroize();
    keypair
}

fn seal<K: Kem>(
    key: &[u8],
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    chance: &mut Chance,
) -> Result<HpkeCiphertext, Reject> {
    let key = K::PublicKey::from_bytes(key).map_err(|_| Reject::Malformed("encryption key"))?;
    let sealed = single_shot_seal_with_rng::<AesGcm128, HkdfSha256, K>(
        &OpModeS::Base,
        &key,
        info,
        plaintext,
        aad,
        chance,
    );
    let (enc, ciphertext) = sealed.map_err(|_| Reject::Malformed("encryption key"))?;
    Ok(HpkeCiphertext { enc: Opaque::new(enc.to_bytes().to_vec())?, ciphertext: Opaque::new(ciphertext)? })
}

fn open<K: Kem>(
    secret: &Secret<32>,
    info: &[u8],
    aad: &[u8],
    enc: &[u8],
    ciphertext: &[u8],
) -> Result<Wiped, Reject> {
    let secret = K::PrivateKey::from_bytes(secret.expose()).map_err(|_| Reject::Malformed("secret key"))?;
    let enc = K::EncappedKey::from_bytes(enc).map_err(|_| Reject::Malformed("encapsulated key"))?;
    let opened =
        single_shot_open::<AesGcm128, HkdfSha256, K>(&OpModeR::Base, &secret, &enc, info, ciphertext, aad);
    opened.map(Wiped::from).map_err(|_| Reject::Malformed("ciphertext"))
}

impl fmt::Debug for HpkeSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HpkeSecretKey")
    }
}

impl Size for HpkeSecretKey {
    fn tls_serialized_len(&self) -> usize {
        self.public.suite.tls_serialized_len().saturating_add(self.secret.tls_serialized_len())
    }
}

impl Serialize for HpkeSecretKey {
    fn tls_serialize<W: io::Write>(&self, writer: &mut W) -> Result<usize, Error> {
        let suite = self.public.suite.tls_serialize(writer)?;
        Ok(self.secret.tls_serialize(writer)?.saturating_add(suite))
    }
}

impl DeserializeBytes for HpkeSecretKey {
    fn tls_deserialize_bytes(input: &[u8]) -> Result<(Self, &[u8]), Error> {
        let (suite, rest) = Suite::tls_deserialize_bytes(input)?;
        let (secret, rest) = Secret::tls_deserialize_bytes(rest)?;
        let key = Self::from_secret_bytes(suite, &secret).map_err(|_| Error::InvalidInput)?;
        Ok((key, rest))
    }
}

#[cfg(test)]
mod tests;
