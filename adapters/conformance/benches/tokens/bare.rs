//! The operations of RFC 9497 and nothing else, from bytes to bytes.

use phoenix_core::crypto::Chance;
use voprf_ng::{BlindedElement, CipherSuite, VoprfClient, VoprfServer};

/// A key, and what it was asked.
pub(crate) struct Bare<S: CipherSuite> {
    server: VoprfServer<S>,
    blinded: Vec<Vec<u8>>,
    elements: Vec<BlindedElement<S>>,
    chance: Chance,
}

impl<S: CipherSuite> Bare<S> {
    pub(crate) fn new(count: u8) -> Self {
        let mut chance = Chance::from_seed([1; 32]);
        let server = VoprfServer::new(&mut chance).unwrap();
        let blind = |input: u8| VoprfClient::<S>::blind(&[input; 98], &mut chance).unwrap().message;
        let elements: Vec<_> = (0..count).map(blind).collect();
        let blinded = elements.iter().map(|element| element.serialize().to_vec()).collect();
        Self { server, blinded, elements, chance: Chance::from_seed([2; 32]) }
    }

    /// BlindEvaluate (RFC 9497 §3.3.2), with its elements read and written.
    pub(crate) fn evaluate(&mut self) {
        let read = |bytes: &Vec<u8>| BlindedElement::deserialize(bytes).unwrap();
        let elements: Vec<BlindedElement<S>> = self.blinded.iter().map(read).collect();
        let result = self.server.batch_blind_evaluate(&mut self.chance, &elements).unwrap();
        let written: Vec<_> = result.messages.iter().map(|element| element.serialize()).collect();
        std::hint::black_box((written, result.proof.serialize()));
    }

    /// The same, on elements in memory.
    pub(crate) fn evaluate_in_memory(&mut self) {
        let result = self.server.batch_blind_evaluate(&mut self.chance, &self.elements).unwrap();
        std::hint::black_box(result);
    }

    /// Evaluate (RFC 9497 §3.3.2): the issuer's own computation of an output, which is all of a verification.
    pub(crate) fn verify(&self, input: &[u8]) {
        std::hint::black_box(self.server.evaluate(input).unwrap());
    }
}
