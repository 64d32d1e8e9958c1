//! The cryptography that no way of building a DS avoids, and nothing beside it.

use std::hint::black_box;

use phoenix_core::{
    crypto::{AtRestKey, SigningKey, Suite},
    token::challenge_digest,
};
use voprf_ng::{Ristretto255, VoprfServer};

use crate::{
    calls::chance,
    cpu::{cost, median, micros},
    house::domain,
};

/// What one call costs at least.
pub(crate) struct Floor {
    server: VoprfServer<Ristretto255>,
    key: SigningKey,
    seal: AtRestKey,
}

impl Floor {
    pub(crate) fn new() -> Self {
        let chance = &mut chance();
        let server = VoprfServer::new(chance).unwrap();
        Self { server, key: SigningKey::generate(Suite::Ed25519, chance), seal: AtRestKey::generate(chance) }
    }

    /// One redemption (RFC 9497 §3.3.2, Evaluate).
    pub(crate) fn redemption(&self) -> f64 {
        let input = [challenge_digest(&domain()).as_slice(), &[5; 66]].concat();
        self.median(|| self.server.evaluate(&input).map(drop).unwrap())
    }

    /// One verification of a frame's signature.
    pub(crate) fn signature(&self) -> f64 {
        let (content, key) = ([7; 200], self.key.verifying_key());
        let signature = self.key.sign("Call", &content);
        self.median(|| key.verify("Call", &content, &signature).unwrap())
    }

    /// Opening a record of a length.
    pub(crate) fn opening(&self, length: usize) -> f64 {
        let sealed = self.seal.seal(b"record", &vec![0; length], &mut chance());
        self.median(|| drop(black_box(self.seal.open(b"record", &sealed).unwrap())))
    }

    /// Sealing one.
    pub(crate) fn sealing(&self, length: usize) -> f64 {
        let (plaintext, mut chance) = (vec![0; length], chance());
        let mut seal = || drop(black_box(self.seal.seal(b"record", &plaintext, &mut chance)));
        median((0..TIMES).map(|_| micros(cost(&mut seal).0)).collect())
    }

    fn median(&self, work: impl Fn()) -> f64 {
        median((0..TIMES).map(|_| micros(cost(&work).0)).collect())
    }
}

const TIMES: usize = 501;
