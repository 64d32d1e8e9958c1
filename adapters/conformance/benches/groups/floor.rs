//! The cryptography that no way of building a DS and a QS avoids, and nothing beside it.

use std::hint::black_box;

use bytes::Bytes;
use phoenix_core::{
    crypto::{AtRestKey, Signature, SigningKey, Suite, VerifyingKey, derive, seal_with_key},
    token::challenge_digest,
};
use voprf_ng::{Ristretto255, VoprfServer};

use crate::{
    ONCE,
    calls::chance,
    cpu::{cost, median, micros},
    home::domain,
};

/// The keys of a server that does nothing else.
pub(crate) struct Floor {
    server: VoprfServer<Ristretto255>,
    seal: AtRestKey,
}

/// What the calls of one kind cannot avoid. No two in a row are alike, as those of clients are not, so that a processor
/// does not learn what comes.
pub(crate) struct Unavoidable<'a> {
    floor: &'a Floor,
    turn: usize,
    /// What is verified and opened in each turn.
    turns: Vec<(Vec<Signed>, Vec<Bytes>)>,
    sealed: Vec<usize>,
}

/// A frame that a client signed.
struct Signed {
    key: VerifyingKey,
    content: [u8; 200],
    signature: Signature,
}

impl Floor {
    pub(crate) fn new() -> Self {
        let chance = &mut chance();
        Self { server: VoprfServer::new(chance).unwrap(), seal: AtRestKey::generate(chance) }
    }

    /// One redemption, in microseconds (RFC 9497 §3.3.2, Evaluate).
    pub(crate) fn redemption(&self) -> f64 {
        timed(|| self.redeem(0))
    }

    /// One verification of a frame's signature.
    pub(crate) fn signature(&self) -> f64 {
        let signed = Signed::new();
        timed(|| signed.verify())
    }

    /// A redemption, so many signatures, and to open and to seal records of these lengths.
    pub(crate) fn of_calls(&self, signatures: usize, opened: &[usize], sealed: &[usize]) -> Unavoidable<'_> {
        let turn = |_| {
            let signed = (0..signatures).map(|_| Signed::new()).collect();
            (signed, opened.iter().map(|length| self.record(*length)).collect())
        };
        Unavoidable { floor: self, turn: 0, turns: (0..TURNS).map(turn).collect(), sealed: sealed.to_vec() }
    }

    /// What ten messages cannot avoid for each queue (06, "Ratchet"): to derive a key, and to seal an entry under it.
    pub(crate) fn seal_entries(&self, queues: usize, length: usize) {
        let (entry, mut chance) = (vec![0; length], chance());
        for _ in 0..ONCE * queues as u64 {
            let key = derive(self.seal.to_secret_bytes().expose(), "queue", b"");
            black_box(seal_with_key(&key, b"", &entry, &mut chance));
        }
    }

    fn redeem(&self, number: usize) {
        let nonce = (number as u64).to_be_bytes();
        let input = [challenge_digest(&domain()).as_slice(), &nonce, &[5; 58]].concat();
        self.server.evaluate(&input).map(drop).unwrap();
    }

    fn record(&self, length: usize) -> Bytes {
        self.seal.seal(RECORD, &vec![0; length], &mut chance())
    }

    fn open(&self, record: &Bytes) {
        drop(black_box(self.seal.open(RECORD, record).unwrap()));
    }
}

impl Unavoidable<'_> {
    /// One call's.
    pub(crate) fn spend(&mut self) {
        self.turn += 1;
        let (signed, opened) = &self.turns[self.turn % TURNS];
        self.floor.redeem(self.turn);
        signed.iter().for_each(Signed::verify);
        opened.iter().for_each(|record| self.floor.open(record));
        self.sealed.iter().for_each(|length| drop(black_box(self.floor.record(*length))));
    }

    /// What that takes, in microseconds.
    pub(crate) fn cost(&mut self) -> f64 {
        micros(cost(|| self.spend()).0)
    }
}

impl Signed {
    fn new() -> Self {
        let (mut chance, mut content) = (chance(), [0; 200]);
        content[..32].copy_from_slice(&chance.bytes::<32>());
        let key = SigningKey::generate(Suite::Ed25519, &mut chance);
        Self { key: key.verifying_key(), signature: key.sign("Call", &content), content }
    }

    fn verify(&self) {
        self.key.verify("Call", &self.content, &self.signature).unwrap();
    }
}

fn timed(work: impl Fn()) -> f64 {
    median((0..TIMES).map(|_| micros(cost(&work).0)).collect())
}

const RECORD: &[u8] = b"record";
const TIMES: usize = 501;
/// After so many, what was verified and opened comes again.
const TURNS: usize = 64;
