//! The issuer's side of a token key (RFC 9578 §5.2, RFC 9497 mode 0x01).

use std::{fmt, io};

use subtle::ConstantTimeEq;
use tls_codec::{DeserializeBytes, Error, Serialize, Size};
use voprf_ng::{BlindedElement, Group, Ristretto255, VoprfServer};

use super::Token;
use crate::{
    Reject,
    api::tokens::{IssueReply, MAX_BATCH},
    crypto::{Chance, sha256},
    wire::{List, Opaque, Secret},
};

/// Issues tokens and checks them: a VOPRF key over ristretto255. Wiped when dropped.
///
/// Its encoding, for sealed storage only, is its 32 secret bytes.
#[derive(Clone)]
pub struct TokenSecretKey {
    server: VoprfServer<Ristretto255>,
    public: [u8; 32],
    key_id: [u8; 32],
}

impl TokenSecretKey {
    /// A fresh key.
    #[must_use]
    pub fn generate(chance: &mut Chance) -> Self {
        loop {
            // DeriveKeyPair (RFC 9497 §3.2.1) gives up on a seed with probability 2^-2048.
            let seed = Secret::<32>::new(chance.bytes());
            if let Ok(server) = VoprfServer::new_from_seed(seed.expose(), b"") {
                return Self::of(server);
            }
        }
    }

    /// The key that was stored.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where the bytes are no scalar, or zero.
    pub fn from_secret_bytes(secret: &Secret<32>) -> Result<Self, Reject> {
        VoprfServer::new_with_key(secret.expose()).map(Self::of).map_err(|_| Reject::Malformed("token key"))
    }

    /// The key's scalar, for sealed storage.
    #[must_use]
    pub fn to_secret_bytes(&self) -> Secret<32> {
        // The library writes the scalar, then the public element.
        let serialised = Secret::<64>::new(self.server.serialize().into());
        Secret::new(serialised.expose().first_chunk().copied().unwrap_or_default())
    }

    /// The public key: a serialised ristretto255 element.
    #[must_use]
    pub const fn public_key(&self) -> &[u8; 32] {
        &self.public
    }

    /// How tokens name the key: SHA-256 of the public key (RFC 9577 §2.2).
    #[must_use]
    pub const fn key_id(&self) -> &[u8; 32] {
        &self.key_id
    }

    /// Whether blinded elements can be evaluated: about 5 µs each.
    ///
    /// # Errors
    /// As [`TokenSecretKey::evaluate`].
    pub fn check(blinded: &[[u8; 32]]) -> Result<(), Reject> {
        elements(blinded).map(|_| ())
    }

    /// Evaluates blinded elements, with one proof for all: about 76 µs each.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where there is none, or one is no element or the identity; [`Reject::TooLarge`] for
    /// more than [`MAX_BATCH`].
    pub fn evaluate(&self, blinded: &[[u8; 32]], chance: &mut Chance) -> Result<IssueReply, Reject> {
        let elements = elements(blinded)?;
        let result =
            self.server.batch_blind_evaluate(chance, &elements).map_err(|_| Reject::Malformed("blinded"))?;
        let evaluated = result.messages.iter().map(|element| element.serialize().into()).collect();
        Ok(IssueReply {
            evaluated: List::new(evaluated)?,
            proof: Opaque::new(result.proof.serialize().to_vec())?,
        })
    }

    /// Whether this key made the token's authenticator; compared in constant time. About 44 µs.
    #[must_use]
    pub fn verifies(&self, token: &Token) -> bool {
        let expected = self.server.evaluate(&token.input());
        expected.is_ok_and(|expected| expected.as_slice().ct_eq(&token.authenticator).into())
    }

    fn of(server: VoprfServer<Ristretto255>) -> Self {
        let public: [u8; 32] = Ristretto255::serialize_elem(server.get_public_key()).into();
        Self { server, public, key_id: sha256(&public) }
    }
}

/// The elements of a request.
fn elements(blinded: &[[u8; 32]]) -> Result<Vec<BlindedElement<Ristretto255>>, Reject> {
    if blinded.is_empty() {
        return Err(Reject::Malformed("blinded"));
    }
    if blinded.len() > MAX_BATCH {
        return Err(Reject::TooLarge("blinded"));
    }
    let elements: Result<Vec<_>, _> =
        blinded.iter().map(|bytes| BlindedElement::deserialize(bytes)).collect();
    elements.map_err(|_| Reject::Malformed("blinded"))
}

impl fmt::Debug for TokenSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecretKey")
    }
}

impl Size for TokenSecretKey {
    fn tls_serialized_len(&self) -> usize {
        self.public.len()
    }
}

impl Serialize for TokenSecretKey {
    fn tls_serialize<W: io::Write>(&self, writer: &mut W) -> Result<usize, Error> {
        self.to_secret_bytes().tls_serialize(writer)
    }
}

impl DeserializeBytes for TokenSecretKey {
    fn tls_deserialize_bytes(input: &[u8]) -> Result<(Self, &[u8]), Error> {
        let (secret, rest) = Secret::tls_deserialize_bytes(input)?;
        let key = Self::from_secret_bytes(&secret).map_err(|_| Error::InvalidInput)?;
        Ok((key, rest))
    }
}
