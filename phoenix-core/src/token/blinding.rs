//! The client's side of issuance (RFC 9578 §5.1 and §5.3, RFC 9497 mode 0x01).

use std::{convert::Infallible, fmt};

use p384::NistP384;
use rand_core::{Rng, TryCryptoRng};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};
use voprf_ng::{CipherSuite, Group, Ristretto255, VoprfClient};
use zeroize::{Zeroize, Zeroizing};

use super::{
    Authenticator, Class, Token, TokenType,
    format::{INPUT, input},
    voprf,
};
use crate::{
    Reject,
    api::tokens::{IssueReply, IssueRequest, MAX_BATCH, SingleReply, SingleRequest},
    crypto::{Chance, sha256},
    wire::{List, Secret},
};

/// Tokens of type 0x0005 on their way: what the client must keep until the issuer has answered.
///
/// Encode and keep it before the request is sent: then a lost answer is asked for again with the same blinded
/// elements, and costs no allowance (05).
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Blinding {
    public_key: [u8; 32],
    challenge_digest: [u8; 32],
    tokens: List<BlindedToken<32, 32>, MAX_BATCH>,
}

/// A token of type 0x0001 on its way, to be kept as a [`Blinding`].
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SingleBlinding {
    public_key: [u8; 49],
    challenge_digest: [u8; 32],
    token: BlindedToken<48, 49>,
}

#[derive(Clone, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct BlindedToken<const SCALAR: usize, const ELEMENT: usize> {
    nonce: [u8; 32],
    /// The blind, as the library writes its state.
    blind: Secret<SCALAR>,
    /// The rest of that state: what the issuer sees.
    blinded: [u8; ELEMENT],
}

// Its nonce will be the token's, which is nobody's business in a log.
impl<const SCALAR: usize, const ELEMENT: usize> fmt::Debug for BlindedToken<SCALAR, ELEMENT> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlindedToken")
    }
}

impl Blinding {
    /// Begins `count` tokens of a public key (from a verified key list), for a challenge.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where the key is no ristretto255 element; [`Reject::TooLarge`] for more than
    /// [`MAX_BATCH`] tokens.
    pub fn new(
        public_key: &[u8],
        challenge_digest: [u8; 32],
        count: usize,
        chance: &mut Chance,
    ) -> Result<Self, Reject> {
        let public_key = element::<Ristretto255, _>(public_key)?;
        if count > MAX_BATCH {
            return Err(Reject::TooLarge("tokens"));
        }
        let key_id = sha256(&public_key);
        let input = |nonce| input(TokenType::Ristretto255, &nonce, &challenge_digest, &key_id);
        let blind = |_| BlindedToken::new::<Ristretto255>(input, chance);
        let tokens = (0..count).map(blind).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { public_key, challenge_digest, tokens: List::new(tokens)? })
    }

    /// What to ask the issuer; the same each time.
    ///
    /// # Errors
    /// None in practice: the batch has been bounded already.
    pub fn request(&self, class: Class) -> Result<IssueRequest, Reject> {
        let blinded = self.tokens.iter().map(|token| token.blinded).collect();
        Ok(IssueRequest { class, key: sha256(&self.public_key), blinded: List::new(blinded)? })
    }

    /// Checks the issuer's proof and finishes the tokens.
    ///
    /// # Errors
    /// [`Reject::TokenInvalid`] where the issuer answered for another key, another number of elements, or wrongly:
    /// none of it is a token then, and the client could be told apart by using it.
    pub fn finalize(&self, reply: &IssueReply) -> Result<Vec<Token>, Reject> {
        let (key_id, challenge_digest) = (sha256(&self.public_key), self.challenge_digest);
        let input = |nonce: &_| input(TokenType::Ristretto255, nonce, &challenge_digest, &key_id);
        let answer = (&*reply.evaluated, &*reply.proof);
        let outputs = outputs::<Ristretto255, _, _, _>(&self.tokens, input, answer, &self.public_key)?;
        let finish = |(token, output): (&BlindedToken<_, _>, [u8; 64])| Token {
            nonce: token.nonce,
            challenge_digest,
            key_id,
            authenticator: Authenticator::Ristretto255(output),
        };
        Ok(self.tokens.iter().zip(outputs).map(finish).collect())
    }
}

impl SingleBlinding {
    /// Begins a token of a public key (from a verified key list), for a challenge.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where the key is no compressed point of P-384.
    pub fn new(public_key: &[u8], challenge_digest: [u8; 32], chance: &mut Chance) -> Result<Self, Reject> {
        Self::draw(public_key, challenge_digest, chance)
    }

    /// The same, with nonce and blind from any generator.
    pub(super) fn draw(
        public_key: &[u8],
        challenge_digest: [u8; 32],
        chance: &mut impl TryCryptoRng<Error = Infallible>,
    ) -> Result<Self, Reject> {
        let public_key = element::<NistP384, _>(public_key)?;
        let key_id = sha256(&public_key);
        let input = |nonce| input(TokenType::P384, &nonce, &challenge_digest, &key_id);
        let token = BlindedToken::new::<NistP384>(input, chance)?;
        Ok(Self { public_key, challenge_digest, token })
    }

    /// What to ask the issuer; the same each time. The class is that of the key.
    #[must_use]
    pub fn request(&self) -> SingleRequest {
        let [.., truncated_key_id] = sha256(&self.public_key);
        SingleRequest { token_type: TokenType::P384, truncated_key_id, blinded: self.token.blinded }
    }

    /// Checks the issuer's proof and finishes the token.
    ///
    /// # Errors
    /// [`Reject::TokenInvalid`] where the issuer answered for another key, or wrongly.
    pub fn finalize(&self, reply: &SingleReply) -> Result<Token, Reject> {
        let (key_id, challenge_digest, nonce) =
            (sha256(&self.public_key), self.challenge_digest, self.token.nonce);
        let input = |nonce: &_| input(TokenType::P384, nonce, &challenge_digest, &key_id);
        let (tokens, answer) =
            (std::slice::from_ref(&self.token), (&[reply.evaluated][..], &reply.proof[..]));
        let outputs = outputs::<NistP384, _, _, _>(tokens, input, answer, &self.public_key)?;
        let output = outputs.into_iter().next().ok_or(Reject::TokenInvalid)?;
        Ok(Token { nonce, challenge_digest, key_id, authenticator: Authenticator::P384(output) })
    }
}

impl<const SCALAR: usize, const ELEMENT: usize> BlindedToken<SCALAR, ELEMENT> {
    /// Draws a nonce and a blind.
    fn new<S: CipherSuite>(
        input: impl FnOnce([u8; 32]) -> [u8; INPUT],
        chance: &mut impl TryCryptoRng<Error = Infallible>,
    ) -> Result<Self, Reject> {
        let mut nonce = [0; 32];
        chance.fill_bytes(&mut nonce);
        // Fails only where the nonce hashes to the identity, which happens to nobody.
        let blinded = VoprfClient::<S>::blind(&input(nonce), chance).map_err(|_| Reject::Internal)?;
        let mut state = blinded.state.serialize();
        let parts = state.split_first_chunk::<SCALAR>();
        let parts = parts.and_then(|(blind, rest)| Some((Secret::new(*blind), rest.try_into().ok()?)));
        state.as_mut_slice().zeroize();
        let (blind, blinded) = parts.ok_or(Reject::Internal)?;
        Ok(Self { nonce, blind, blinded })
    }

    /// The library's state.
    fn client<S: CipherSuite>(&self) -> Option<VoprfClient<S>> {
        let state = Zeroizing::new([&self.blind.expose()[..], &self.blinded].concat());
        VoprfClient::deserialize(&state).ok()
    }
}

/// A serialised element that is one.
fn element<S: CipherSuite, const N: usize>(bytes: &[u8]) -> Result<[u8; N], Reject> {
    let element = bytes.try_into().map_err(|_| Reject::Malformed("token key"))?;
    S::Group::deserialize_elem(bytes).map_err(|_| Reject::Malformed("token key"))?;
    Ok(element)
}

/// The authenticators, if the issuer's proof holds for all elements.
fn outputs<S: CipherSuite, const SCALAR: usize, const ELEMENT: usize, const OUTPUT: usize>(
    tokens: &[BlindedToken<SCALAR, ELEMENT>],
    input: impl Fn(&[u8; 32]) -> [u8; INPUT],
    answer: (&[[u8; ELEMENT]], &[u8]),
    public_key: &[u8],
) -> Result<Vec<[u8; OUTPUT]>, Reject> {
    if answer.0.len() != tokens.len() {
        return Err(Reject::TokenInvalid);
    }
    let inputs = tokens.iter().map(|token| input(&token.nonce)).collect();
    let clients: Option<_> = tokens.iter().map(BlindedToken::client).collect();
    let clients = clients.ok_or(Reject::TokenInvalid)?;
    let outputs = voprf::finalize::<S, _>((&inputs, &clients), answer, public_key);
    let outputs = outputs.ok_or(Reject::TokenInvalid)?;
    outputs.iter().map(|output| output.as_ref().try_into().map_err(|_| Reject::TokenInvalid)).collect()
}
