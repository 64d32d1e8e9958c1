//! The arithmetic of tokens, for either suite: RFC 9497 in mode 0x01, from the library.

use voprf_ng::{BlindedElement, CipherSuite, EvaluationElement, Group, Proof, VoprfClient, VoprfServer};
use zeroize::{Zeroize, Zeroizing};

use super::format::INPUT;
use crate::{Reject, api::tokens::MAX_BATCH, crypto::Chance};

/// Serialised elements, in order, and the proof for all of them.
pub(super) type Evaluated = (Vec<Vec<u8>>, Vec<u8>);

/// A fresh key.
pub(super) fn generate<S: CipherSuite>(chance: &mut Chance) -> VoprfServer<S> {
    loop {
        // DeriveKeyPair (RFC 9497 §3.2.1) gives up on a seed with probability 2^-2048.
        let seed = Zeroizing::new(chance.bytes::<32>());
        if let Ok(server) = VoprfServer::new_from_seed(&*seed, b"") {
            return server;
        }
    }
}

/// A serialised public key.
pub(super) fn public<S: CipherSuite>(server: &VoprfServer<S>) -> Vec<u8> {
    S::Group::serialize_elem(server.get_public_key()).to_vec()
}

/// A key's scalar.
pub(super) fn scalar<S: CipherSuite>(server: &VoprfServer<S>, length: usize) -> Zeroizing<Vec<u8>> {
    // The library writes the scalar, then the public element.
    let mut serialised = server.serialize();
    let scalar = Zeroizing::new(serialised.iter().take(length).copied().collect());
    serialised.as_mut_slice().zeroize();
    scalar
}

/// The elements of a request: about 5 µs each over ristretto255, 60 µs over P-384.
///
/// # Errors
/// [`Reject::Malformed`] where there is none, or one is no element or the identity; [`Reject::TooLarge`] for more
/// than [`MAX_BATCH`].
pub(super) fn elements<S: CipherSuite, const N: usize>(
    blinded: &[[u8; N]],
) -> Result<Vec<BlindedElement<S>>, Reject> {
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

/// Evaluates elements, with one proof for all. `None` only for more elements than the library takes.
pub(super) fn evaluate<S: CipherSuite>(
    server: &VoprfServer<S>,
    elements: &Vec<BlindedElement<S>>,
    chance: &mut Chance,
) -> Option<Evaluated> {
    trace();
    let result = server.batch_blind_evaluate(chance, elements).ok()?;
    let evaluated = result.messages.iter().map(|element| element.serialize().to_vec()).collect();
    Some((evaluated, result.proof.serialize().to_vec()))
}

/// What the authenticator of a token must be. `None` where the input hashes to the identity, which happens to nobody.
pub(super) fn authenticator<S: CipherSuite>(
    server: &VoprfServer<S>,
    input: &[u8; INPUT],
) -> Option<impl AsRef<[u8]>> {
    trace();
    server.evaluate(input).ok()
}

/// Checks the issuer's proof for what it evaluated, and gives the authenticators.
pub(super) fn finalize<S: CipherSuite, const N: usize>(
    (inputs, clients): (&Vec<[u8; INPUT]>, &Vec<VoprfClient<S>>),
    (evaluated, proof): (&[[u8; N]], &[u8]),
    public_key: &[u8],
) -> Option<Vec<impl AsRef<[u8]>>> {
    let elements: Result<Vec<_>, _> =
        evaluated.iter().map(|bytes| EvaluationElement::deserialize(bytes)).collect();
    let (elements, proof) = (elements.ok()?, Proof::deserialize(proof).ok()?);
    let public_key = S::Group::deserialize_elem(public_key).ok()?;
    let outputs = VoprfClient::batch_finalize(inputs, clients, &elements, &proof, public_key).ok()?;
    outputs.collect::<Result<_, _>>().ok()
}

/// Lets tests count what was computed, and says nothing about it.
fn trace() {
    tracing::trace!(target: "phoenix_core::work", kind = "oprf");
}
