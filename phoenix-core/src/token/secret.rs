//! The issuer's side of a token key (RFC 9578 §5.2 and §5.3, RFC 9497 mode 0x01).

use std::{fmt, io};

use p384::NistP384;
use subtle::ConstantTimeEq;
use tls_codec::{DeserializeBytes, Error, Serialize, Size};
use voprf_ng::{Ristretto255, VoprfServer};
use zeroize::Zeroizing;

use super::{Authenticator, Token, TokenType, voprf};
use crate::{
    Reject,
    api::tokens::{IssueReply, SingleReply},
    crypto::{Chance, sha256},
    wire::{List, Opaque},
};

/// Issues tokens of one type and checks them: a VOPRF key. Wiped when dropped.
///
/// Its encoding, for sealed storage only, is its type and its secret scalar.
#[derive(Clone)]
pub struct TokenSecretKey {
    server: Server,
    public: Vec<u8>,
    key_id: [u8; 32],
}

#[derive(Clone)]
enum Server {
    P384(VoprfServer<NistP384>),
    Ristretto255(VoprfServer<Ristretto255>),
}

impl TokenSecretKey {
    /// A fresh key.
    #[must_use]
    pub fn generate(token_type: TokenType, chance: &mut Chance) -> Self {
        Self::of(match token_type {
            TokenType::P384 => Server::P384(voprf::generate(chance)),
            TokenType::Ristretto255 => Server::Ristretto255(voprf::generate(chance)),
        })
    }

    /// The key that was stored.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where the bytes are no scalar of the type's group, or zero.
    pub(super) fn from_scalar(token_type: TokenType, scalar: &[u8]) -> Result<Self, Reject> {
        let server = match token_type {
            TokenType::P384 => VoprfServer::new_with_key(scalar).map(Server::P384),
            TokenType::Ristretto255 => VoprfServer::new_with_key(scalar).map(Server::Ristretto255),
        };
        server.map(Self::of).map_err(|_| Reject::Malformed("token key"))
    }

    /// The key's scalar, for sealed storage.
    pub(super) fn scalar(&self) -> Zeroizing<Vec<u8>> {
        let length = scalar_length(self.token_type());
        match &self.server {
            Server::P384(server) => voprf::scalar(server, length),
            Server::Ristretto255(server) => voprf::scalar(server, length),
        }
    }

    /// The type of its tokens.
    #[must_use]
    pub const fn token_type(&self) -> TokenType {
        match self.server {
            Server::P384(_) => TokenType::P384,
            Server::Ristretto255(_) => TokenType::Ristretto255,
        }
    }

    /// The public key: a serialised element.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    /// How tokens name the key: SHA-256 of the public key (RFC 9577 §2.2).
    #[must_use]
    pub const fn key_id(&self) -> &[u8; 32] {
        &self.key_id
    }

    /// Reads blinded elements of type 0x0005, to be evaluated with one proof for all, about 76 µs each, when the
    /// result is called.
    ///
    /// # Errors
    /// [`Reject::TokenInvalid`] where the key is of the other type; [`Reject::Malformed`] where there is no element,
    /// or one is none or the identity; [`Reject::TooLarge`] for more than
    /// [`MAX_BATCH`](crate::api::tokens::MAX_BATCH).
    pub fn batch(
        &self,
        blinded: &[[u8; 32]],
        mut chance: Chance,
    ) -> Result<impl FnOnce() -> IssueReply + Send + use<>, Reject> {
        let Server::Ristretto255(server) = &self.server else { return Err(Reject::TokenInvalid) };
        let (server, elements) = (server.clone(), voprf::elements(blinded)?);
        Ok(move || {
            // A batch within its bound evaluates: the empty reply, which no client takes for tokens, is never given.
            let (evaluated, proof) = voprf::evaluate(&server, &elements, &mut chance).unwrap_or_default();
            let evaluated = evaluated.iter().map(|element| exact(element)).collect();
            IssueReply {
                evaluated: List::new(evaluated).unwrap_or_default(),
                proof: Opaque::truncated(proof.into()),
            }
        })
    }

    /// Reads one blinded element of type 0x0001, to be evaluated with its proof, about 2.6 ms, when the result is
    /// called.
    ///
    /// # Errors
    /// As [`TokenSecretKey::batch`].
    pub fn single(
        &self,
        blinded: &[u8; 49],
        mut chance: Chance,
    ) -> Result<impl FnOnce() -> SingleReply + Send + use<>, Reject> {
        let Server::P384(server) = &self.server else { return Err(Reject::TokenInvalid) };
        let (server, elements) = (server.clone(), voprf::elements(&[*blinded])?);
        Ok(move || {
            // As above.
            let (evaluated, proof) = voprf::evaluate(&server, &elements, &mut chance).unwrap_or_default();
            let evaluated = evaluated.first().map(Vec::as_slice).unwrap_or_default();
            SingleReply { evaluated: exact(evaluated), proof: exact(&proof) }
        })
    }

    /// [`TokenSecretKey::batch`], at once.
    ///
    /// # Errors
    /// As [`TokenSecretKey::batch`].
    pub fn evaluate(&self, blinded: &[[u8; 32]], chance: &mut Chance) -> Result<IssueReply, Reject> {
        Ok(self.batch(blinded, chance.child("proof"))?())
    }

    /// Whether this key made the token's authenticator; compared in constant time. About 44 µs over ristretto255,
    /// 610 µs over P-384.
    #[must_use]
    pub fn verifies(&self, token: &Token) -> bool {
        match (&self.server, &token.authenticator) {
            (Server::P384(server), Authenticator::P384(given)) => {
                is_same(voprf::authenticator(server, &token.input()), given)
            }
            (Server::Ristretto255(server), Authenticator::Ristretto255(given)) => {
                is_same(voprf::authenticator(server, &token.input()), given)
            }
            (Server::P384(_), Authenticator::Ristretto255(_))
            | (Server::Ristretto255(_), Authenticator::P384(_)) => false,
        }
    }

    fn of(server: Server) -> Self {
        let public = match &server {
            Server::P384(server) => voprf::public(server),
            Server::Ristretto255(server) => voprf::public(server),
        };
        let key_id = sha256(&public);
        Self { server, public, key_id }
    }
}

fn is_same(expected: Option<impl AsRef<[u8]>>, given: &[u8]) -> bool {
    expected.is_some_and(|expected| expected.as_ref().ct_eq(given).into())
}

/// Bytes whose length the suite gives; none where there is nothing.
fn exact<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

/// Bytes of a scalar (RFC 9497 §4.1 and §4.4).
const fn scalar_length(token_type: TokenType) -> usize {
    match token_type {
        TokenType::P384 => 48,
        TokenType::Ristretto255 => 32,
    }
}

impl fmt::Debug for TokenSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecretKey")
    }
}

impl Size for TokenSecretKey {
    fn tls_serialized_len(&self) -> usize {
        let token_type = self.token_type();
        token_type.tls_serialized_len().saturating_add(scalar_length(token_type))
    }
}

impl Serialize for TokenSecretKey {
    fn tls_serialize<W: io::Write>(&self, writer: &mut W) -> Result<usize, Error> {
        self.token_type().tls_serialize(writer)?;
        writer.write_all(&self.scalar())?;
        Ok(self.tls_serialized_len())
    }
}

impl DeserializeBytes for TokenSecretKey {
    fn tls_deserialize_bytes(input: &[u8]) -> Result<(Self, &[u8]), Error> {
        let (token_type, rest) = TokenType::tls_deserialize_bytes(input)?;
        let (scalar, rest) = rest.split_at_checked(scalar_length(token_type)).ok_or(Error::EndOfStream)?;
        let key = Self::from_scalar(token_type, scalar).map_err(|_| Error::InvalidInput)?;
        Ok((key, rest))
    }
}
