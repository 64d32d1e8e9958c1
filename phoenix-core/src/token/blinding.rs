//! The client's side of issuance (RFC 9578 §5.1 and §5.3, RFC 9497 mode 0x01).

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};
use voprf_ng::{EvaluationElement, Group, Proof, Ristretto255, VoprfClient};

use super::{Class, TOKEN_TYPE, Token};
use crate::{
    Reject,
    api::tokens::{IssueReply, IssueRequest, MAX_BATCH},
    crypto::{Chance, sha256},
    wire::{List, Secret},
};

/// Tokens on their way: what the client must keep until the issuer has answered.
///
/// Encode and keep it before the request is sent: then a lost answer is asked for again with the same blinded
/// elements, and costs no allowance (05).
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Blinding {
    public_key: [u8; 32],
    challenge_digest: [u8; 32],
    tokens: List<BlindedToken, MAX_BATCH>,
}

#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct BlindedToken {
    nonce: [u8; 32],
    /// The blind, as the library writes its state.
    blind: Secret<32>,
    /// The rest of that state: what the issuer sees.
    blinded: [u8; 32],
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
        let public_key: [u8; 32] = public_key.try_into().map_err(|_| Reject::Malformed("token key"))?;
        Ristretto255::deserialize_elem(&public_key).map_err(|_| Reject::Malformed("token key"))?;
        if count > MAX_BATCH {
            return Err(Reject::TooLarge("tokens"));
        }
        let blind = |_| blind(&public_key, &challenge_digest, chance);
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
        if reply.evaluated.len() != self.tokens.len() {
            return Err(Reject::TokenInvalid);
        }
        let tokens: Vec<_> = self.tokens.iter().map(|token| self.unfinished(token.nonce)).collect();
        self.outputs(reply, &tokens)
            .ok_or(Reject::TokenInvalid)
            .map(|outputs| tokens.into_iter().zip(outputs).map(|(token, it)| finish(token, it)).collect())
    }

    /// The authenticators, if the proof holds for all elements.
    fn outputs(&self, reply: &IssueReply, tokens: &[Token]) -> Option<Vec<[u8; 64]>> {
        let inputs: Vec<_> = tokens.iter().map(Token::input).collect();
        let clients: Option<Vec<_>> = self.tokens.iter().map(BlindedToken::client).collect();
        let elements: Result<Vec<_>, _> =
            reply.evaluated.iter().map(|bytes| EvaluationElement::deserialize(bytes)).collect();
        let proof = Proof::deserialize(&reply.proof).ok()?;
        let public_key = Ristretto255::deserialize_elem(&self.public_key).ok()?;
        let (clients, elements) = (clients?, elements.ok()?);
        let outputs =
            VoprfClient::<Ristretto255>::batch_finalize(&inputs, &clients, &elements, &proof, public_key);
        outputs.ok()?.map(|output| output.ok().map(Into::into)).collect()
    }

    fn unfinished(&self, nonce: [u8; 32]) -> Token {
        unfinished(nonce, &self.public_key, &self.challenge_digest)
    }
}

impl BlindedToken {
    fn client(&self) -> Option<VoprfClient<Ristretto255>> {
        let state = zeroize::Zeroizing::new([*self.blind.expose(), self.blinded]);
        VoprfClient::deserialize(state.as_flattened()).ok()
    }
}

fn blind(
    public_key: &[u8; 32],
    challenge_digest: &[u8; 32],
    chance: &mut Chance,
) -> Result<BlindedToken, Reject> {
    let nonce = chance.bytes();
    let input = unfinished(nonce, public_key, challenge_digest).input();
    // Fails only where the nonce hashes to the identity, which happens to nobody.
    let blinded = VoprfClient::<Ristretto255>::blind(&input, chance).map_err(|_| Reject::Internal)?;
    let state = Secret::<64>::new(blinded.state.serialize().into());
    let blind = Secret::new(state.expose().first_chunk().copied().unwrap_or_default());
    Ok(BlindedToken { nonce, blind, blinded: blinded.message.serialize().into() })
}

fn unfinished(nonce: [u8; 32], public_key: &[u8; 32], challenge_digest: &[u8; 32]) -> Token {
    Token {
        token_type: TOKEN_TYPE,
        nonce,
        challenge_digest: *challenge_digest,
        key_id: sha256(public_key),
        authenticator: [0; 64],
    }
}

fn finish(token: Token, authenticator: [u8; 64]) -> Token {
    Token { authenticator, ..token }
}
