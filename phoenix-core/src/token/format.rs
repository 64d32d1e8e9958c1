//! Tokens, as they travel and are spent (RFC 9577 §2.2).

use std::{fmt, io};

use tls_codec::{DeserializeBytes, Error, Serialize, Size, TlsDeserializeBytes, TlsSerialize, TlsSize};

/// How a token is made (RFC 9578 §8.2, "Token Type Registry").
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize,
)]
#[repr(u16)]
pub enum TokenType {
    /// VOPRF over P-384 with SHA-384 (RFC 9578 §5), one in each request: for Privacy Pass clients of any make.
    P384 = 0x0001,
    /// VOPRF over ristretto255 with SHA-512, in batches (draft-ietf-privacypass-batched-tokens): about thirty
    /// times as fast, and what clients of this protocol use.
    Ristretto255 = 0x0005,
}

impl TokenType {
    /// All types, the preferred first.
    pub const ALL: [Self; 2] = [Self::Ristretto255, Self::P384];

    /// Its number in the registry.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::P384 => 0x0001,
            Self::Ristretto255 => 0x0005,
        }
    }
}

/// A Privacy Pass token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Random, chosen by the client; spent at most once.
    pub nonce: [u8; 32],
    /// SHA-256 of the challenge.
    pub challenge_digest: [u8; 32],
    /// SHA-256 of the public key that issued it.
    pub key_id: [u8; 32],
    /// Made by the issuer, blindly.
    pub authenticator: Authenticator,
}

/// The VOPRF's output over the rest of a token. It has the length, and so tells the type.
#[derive(Clone, PartialEq, Eq)]
pub enum Authenticator {
    /// Of type 0x0001.
    P384([u8; 48]),
    /// Of type 0x0005.
    Ristretto255([u8; 64]),
}

impl Token {
    /// How it was made.
    #[must_use]
    pub const fn token_type(&self) -> TokenType {
        match self.authenticator {
            Authenticator::P384(_) => TokenType::P384,
            Authenticator::Ristretto255(_) => TokenType::Ristretto255,
        }
    }

    /// What the authenticator is computed over: the token without it (RFC 9578 §5.1).
    #[must_use]
    pub fn input(&self) -> [u8; INPUT] {
        input(self.token_type(), &self.nonce, &self.challenge_digest, &self.key_id)
    }
}

/// The input of a token that has no authenticator yet.
pub(super) fn input(
    token_type: TokenType,
    nonce: &[u8; 32],
    challenge_digest: &[u8; 32],
    key_id: &[u8; 32],
) -> [u8; INPUT] {
    let number = token_type.number().to_be_bytes();
    let parts = [&number[..], nonce, challenge_digest, key_id];
    let mut input = [0; INPUT];
    input.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
    input
}

impl Authenticator {
    /// Its bytes.
    #[must_use]
    pub const fn as_slice(&self) -> &[u8] {
        match self {
            Self::P384(bytes) => bytes,
            Self::Ristretto255(bytes) => bytes,
        }
    }
}

impl Size for Token {
    fn tls_serialized_len(&self) -> usize {
        INPUT.saturating_add(self.authenticator.as_slice().len())
    }
}

impl Serialize for Token {
    fn tls_serialize<W: io::Write>(&self, writer: &mut W) -> Result<usize, Error> {
        writer.write_all(&self.input())?;
        writer.write_all(self.authenticator.as_slice())?;
        Ok(self.tls_serialized_len())
    }
}

impl DeserializeBytes for Token {
    fn tls_deserialize_bytes(input: &[u8]) -> Result<(Self, &[u8]), Error> {
        let (token_type, rest) = TokenType::tls_deserialize_bytes(input)?;
        let ((nonce, challenge_digest, key_id), rest) = DeserializeBytes::tls_deserialize_bytes(rest)?;
        let (authenticator, rest) = match token_type {
            TokenType::P384 => {
                let (bytes, rest) = DeserializeBytes::tls_deserialize_bytes(rest)?;
                (Authenticator::P384(bytes), rest)
            }
            TokenType::Ristretto255 => {
                let (bytes, rest) = DeserializeBytes::tls_deserialize_bytes(rest)?;
                (Authenticator::Ristretto255(bytes), rest)
            }
        };
        Ok((Self { nonce, challenge_digest, key_id, authenticator }, rest))
    }
}

// Whoever reads a token can spend it.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticator(…)")
    }
}

/// Bytes of type, nonce, challenge digest and key id.
pub(super) const INPUT: usize = 2 + 32 + 32 + 32;
