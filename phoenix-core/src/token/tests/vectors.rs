//! RFC 9497, appendices A.1.2 and A.4.2 (VOPRF mode), and RFC 9578, appendix A.1 (type 0x0001).

use std::{collections::BTreeMap, convert::Infallible};

use p384::NistP384;
use rand_core::{TryCryptoRng, TryRng};
use serde::Deserialize;
use voprf_ng::{
    BlindedElement, CipherSuite, EvaluationElement, Group, Proof, Ristretto255, VoprfClient, VoprfServer,
};

use crate::{
    api::tokens::{SingleReply, SingleRequest},
    crypto::{Chance, sha256},
    token::{SingleBlinding, Token, TokenKey, TokenKeys, TokenSecretKey, TokenType},
    wire::Wire,
};

/// A suite's part of the appendix.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Suite {
    seed: Hex,
    key_info: Hex,
    #[serde(rename = "skSm")]
    secret: Hex,
    #[serde(rename = "pkSm")]
    public: Hex,
    #[serde(rename = "vectors")]
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vector {
    input: Vec<Hex>,
    blind: Vec<Hex>,
    blinded_element: Vec<Hex>,
    evaluation_element: Vec<Hex>,
    proof: Hex,
    proof_random_scalar: Hex,
    output: Vec<Hex>,
}

/// A vector of RFC 9578.
#[derive(Deserialize)]
struct Issuance {
    #[serde(rename = "skS")]
    secret: Hex,
    #[serde(rename = "pkS")]
    public: Hex,
    token_challenge: Hex,
    nonce: Hex,
    blind: Hex,
    token_request: Hex,
    token_response: Hex,
    token: Hex,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Hex(Vec<u8>);

/// A generator that gives what it was told to, and then no more.
struct Script(Vec<u8>);

#[test]
fn our_keys_are_those_of_the_rfc() {
    for (token_type, suite) in suites() {
        let key = TokenSecretKey::from_scalar(token_type, &suite.secret.0).unwrap();

        assert_eq!(key.public_key(), suite.public.0);
        assert_eq!(*key.scalar(), suite.secret.0);
        let stored = [&token_type.number().to_be_bytes()[..], &suite.secret.0].concat();
        assert_eq!(key.encode(), stored);
        assert_eq!(TokenSecretKey::decode(&stored).unwrap().public_key(), suite.public.0);
    }
}

#[test]
fn the_library_computes_what_the_rfc_prints_in_batches_too() {
    for (token_type, suite) in suites() {
        assert_eq!(suite.vectors.iter().map(|it| it.input.len()).collect::<Vec<_>>(), [1, 1, 2]);
        match token_type {
            TokenType::P384 => check::<NistP384>(&suite),
            TokenType::Ristretto255 => check::<Ristretto255>(&suite),
        }
    }
}

#[test]
fn our_batches_are_the_elements_of_the_rfc_with_a_proof_that_convinces() {
    let suite = suites().remove(1).1;
    let key = TokenSecretKey::from_scalar(TokenType::Ristretto255, &suite.secret.0).unwrap();
    for vector in &suite.vectors {
        let blinded: Vec<[u8; 32]> = vector.blinded_element.iter().map(Hex::array).collect();

        let reply = key.evaluate(&blinded, &mut Chance::from_seed([1; 32])).unwrap();

        let expected: Vec<[u8; 32]> = vector.evaluation_element.iter().map(Hex::array).collect();
        assert_eq!(&*reply.evaluated, expected);
        finalizes::<Ristretto255>(vector, &suite.public.0, &reply.proof);
    }
}

#[test]
fn tokens_of_type_1_are_requested_answered_finished_and_redeemed_as_the_rfc_prints() {
    let vectors: Vec<Issuance> = serde_json::from_str(include_str!("vectors/rfc9578.json")).unwrap();
    assert_eq!(vectors.len(), 5);
    for vector in vectors {
        let key = TokenSecretKey::from_scalar(TokenType::P384, &vector.secret.0).unwrap();
        assert_eq!(key.public_key(), vector.public.0);
        let mut script = Script([vector.nonce.0, vector.blind.0].concat());
        let digest = sha256(&vector.token_challenge.0);

        let blinding = SingleBlinding::draw(&vector.public.0, digest, &mut script).unwrap();
        let request = blinding.request();
        assert_eq!(request.encode(), vector.token_request.0);
        assert_eq!(SingleRequest::decode(&vector.token_request.0).as_ref(), Ok(&request));

        // Ours has another proof, since that is random; the client accepts both.
        let printed = SingleReply::decode(&vector.token_response.0).unwrap();
        let ours = key.single(&request.blinded, Chance::from_seed([1; 32])).unwrap()();
        assert_eq!(ours.evaluated, printed.evaluated);
        for reply in [printed, ours] {
            assert_eq!(blinding.finalize(&reply).unwrap().encode(), vector.token.0);
        }
        let token = Token::decode(&vector.token.0).unwrap();
        assert_eq!((token.token_type(), token.challenge_digest), (TokenType::P384, digest));
        assert!(key.verifies(&token));
    }
}

#[test]
fn the_key_that_a_vector_names_by_a_byte_is_found() {
    let vectors: Vec<Issuance> = serde_json::from_str(include_str!("vectors/rfc9578.json")).unwrap();
    let key = |vector: &Issuance| TokenKey {
        class: crate::token::Class::Standard,
        secret: TokenSecretKey::from_scalar(TokenType::P384, &vector.secret.0).unwrap(),
        not_before: 0,
        not_after: 1,
        redeem_until: 2,
    };
    let keys = TokenKeys::new(super::domain(), 1, vectors.iter().map(key).collect()).unwrap();

    for vector in &vectors {
        let named = keys.truncated(vector.token_request.0[2]).unwrap();
        assert_eq!(named.secret.public_key(), vector.public.0);
    }
}

/// Every value of a suite's vectors, computed by the library.
fn check<S: CipherSuite>(suite: &Suite) {
    let server = VoprfServer::<S>::new_from_seed(&suite.seed.0, &suite.key_info.0).unwrap();
    assert_eq!(S::Group::serialize_elem(server.get_public_key()).as_slice(), suite.public.0);
    for vector in &suite.vectors {
        for (at, input) in vector.input.iter().enumerate() {
            let mut script = Script(vector.blind[at].0.clone());
            let blinded = VoprfClient::<S>::blind(&input.0, &mut script).unwrap();
            assert_eq!(blinded.message.serialize().as_slice(), vector.blinded_element[at].0);
            assert_eq!(server.evaluate(&input.0).unwrap().as_slice(), vector.output[at].0);
        }
        let elements: Vec<BlindedElement<S>> =
            vector.blinded_element.iter().map(|it| BlindedElement::deserialize(&it.0).unwrap()).collect();
        let mut script = Script(vector.proof_random_scalar.0.clone());
        let result = server.batch_blind_evaluate(&mut script, &elements).unwrap();
        for (element, expected) in result.messages.iter().zip(&vector.evaluation_element) {
            assert_eq!(element.serialize().as_slice(), expected.0);
        }
        assert_eq!(result.proof.serialize().as_slice(), vector.proof.0);
        finalizes::<S>(vector, &suite.public.0, &vector.proof.0);
    }
}

/// The client ends with the vector's outputs.
fn finalizes<S: CipherSuite>(vector: &Vector, public: &[u8], proof: &[u8]) {
    let states = vector.blind.iter().zip(&vector.blinded_element);
    let clients: Vec<_> = states
        .map(|(blind, element)| VoprfClient::<S>::deserialize(&[&blind.0[..], &element.0].concat()).unwrap())
        .collect();
    let inputs: Vec<_> = vector.input.iter().map(|input| &input.0).collect();
    let elements: Vec<_> =
        vector.evaluation_element.iter().map(|it| EvaluationElement::deserialize(&it.0).unwrap()).collect();
    let (proof, public) = (Proof::deserialize(proof).unwrap(), S::Group::deserialize_elem(public).unwrap());
    let outputs = VoprfClient::batch_finalize(&inputs, &clients, &elements, &proof, public).unwrap();
    for (output, expected) in outputs.zip(&vector.output) {
        assert_eq!(output.unwrap().as_slice(), expected.0);
    }
}

fn suites() -> Vec<(TokenType, Suite)> {
    let mut suites: BTreeMap<String, Suite> =
        serde_json::from_str(include_str!("vectors/rfc9497.json")).unwrap();
    let names = [(TokenType::P384, "P384-SHA384"), (TokenType::Ristretto255, "ristretto255-SHA512")];
    names.map(|(token_type, name)| (token_type, suites.remove(name).unwrap())).into()
}

impl Hex {
    fn array<const N: usize>(&self) -> [u8; N] {
        self.0.clone().try_into().unwrap()
    }
}

impl TryFrom<String> for Hex {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16);
        (0..text.len()).step_by(2).map(byte).collect::<Result<_, _>>().map(Self)
    }
}

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("scalars are drawn as bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("scalars are drawn as bytes")
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Infallible> {
        let rest = self.0.split_off(buffer.len());
        buffer.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Script {}
