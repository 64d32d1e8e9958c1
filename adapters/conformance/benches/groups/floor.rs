//! The cryptography that no way of building a DS and a QS avoids, and nothing beside it.

use std::hint::black_box;

use bytes::Bytes;
use phoenix_core::{
    crypto::{AtRestKey, SigningKey, Suite, derive, seal_with_key},
    token::challenge_digest,
};
use voprf_ng::{Ristretto255, VoprfServer};

use crate::{
    ONCE,
    calls::chance,
    cpu::{cost, median, micros},
    home::domain,
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

    /// One redemption, in microseconds (RFC 9497 §3.3.2, Evaluate).
    pub(crate) fn redemption(&self) -> f64 {
        timed(|| self.redeem())
    }

    /// One verification of a frame's signature.
    pub(crate) fn signature(&self) -> f64 {
        let verify = self.verification();
        timed(verify)
    }

    /// Opening a record of a length.
    pub(crate) fn opening(&self, length: usize) -> f64 {
        let record = self.record(length);
        timed(|| self.open(&record))
    }

    /// Sealing one.
    pub(crate) fn sealing(&self, length: usize) -> f64 {
        timed(|| self.seal(length))
    }

    /// A sealed record of a length.
    pub(crate) fn record(&self, length: usize) -> Bytes {
        self.seal.seal(RECORD, &vec![0; length], &mut chance())
    }

    /// What ten calls cannot avoid: for each a redemption, so many signatures, and opening and sealing these.
    pub(crate) fn spend(&self, signatures: usize, opened: &[Bytes], sealed: &[usize]) {
        let verify = self.verification();
        for _ in 0..ONCE {
            self.redeem();
            (0..signatures).for_each(|_| verify());
            opened.iter().for_each(|record| self.open(record));
            sealed.iter().for_each(|length| self.seal(*length));
        }
    }

    /// What ten messages cannot avoid for each queue (06, "Ratchet"): to derive a key, and to seal an entry under it.
    pub(crate) fn seal_entries(&self, queues: usize, length: usize) {
        let (entry, mut chance) = (vec![0; length], chance());
        for _ in 0..ONCE * queues as u64 {
            let key = derive(self.seal.to_secret_bytes().expose(), "queue", b"");
            black_box(seal_with_key(&key, b"", &entry, &mut chance));
        }
    }

    fn redeem(&self) {
        let input = [challenge_digest(&domain()).as_slice(), &[5; 66]].concat();
        self.server.evaluate(&input).map(drop).unwrap();
    }

    fn verification(&self) -> impl Fn() {
        let (content, key) = ([7; 200], self.key.verifying_key());
        let signature = self.key.sign("Call", &content);
        move || key.verify("Call", &content, &signature).unwrap()
    }

    fn open(&self, record: &Bytes) {
        drop(black_box(self.seal.open(RECORD, record).unwrap()));
    }

    fn seal(&self, length: usize) {
        drop(black_box(self.record(length)));
    }
}

fn timed(work: impl Fn()) -> f64 {
    median((0..TIMES).map(|_| micros(cost(&work).0)).collect())
}

const RECORD: &[u8] = b"record";
const TIMES: usize = 501;
