//! A homeserver whose work is counted while it is asked.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use phoenix_conformance::{
    store::{Call as StoreCall, Strike},
    world::{Answer, Arena, Recorded, Tape, captured},
};
use phoenix_core::{
    ClientId, Fingerprint, UserId, Uuid,
    api::{
        Endpoint, ServiceName,
        auth::{AddClientFinish, AddClientFinishRequest, SecondFactor},
    },
    credential::{ClientCredentialPayload, Csr, ExpirationData},
    crypto::{Chance, HpkeSecretKey, Signature, SigningKey, Suite},
    time::DAY,
    wire::{Audience, AuthFrame, Call, CallTbs, List, Opaque, Sender, VERSION, Wire},
};

/// A homeserver that is asked, and its work counted.
pub(super) struct Bench {
    pub(super) arena: Arena,
    counts: Counts,
}

/// An answer, and what it took.
pub(super) type Asked = (Answer, Work);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Work {
    /// Reads and the places in them; commits, and parts and writes in them.
    pub(super) stored: [usize; 5],
    pub(super) computed: Computed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Computed {
    pub(super) signatures: usize,
    pub(super) oprfs: usize,
}

impl Bench {
    pub(super) fn new(recorded: &Recorded) -> Self {
        let counts = Counts::default();
        let plan = {
            let counts = counts.clone();
            move |_, call: StoreCall<'_>| counts.note(call)
        };
        Self { arena: Arena::of(recorded, 1, &Tape::of_seed(25), plan).unwrap(), counts }
    }

    /// Asks, and undoes what that changed.
    pub(super) fn ask(&mut self, call: Call) -> Asked {
        let asked = self.keep(call);
        self.arena.rewind();
        asked
    }

    /// Asks, and leaves what that changed.
    pub(super) fn keep(&mut self, call: Call) -> Asked {
        self.counts.take();
        let (mut answers, log) = captured(|| self.arena.give(vec![call]).unwrap());
        let computed = |kind: &str| {
            log.iter().filter(|it| it.target == "phoenix_core::work" && it.text.contains(kind)).count()
        };
        let computed = Computed { signatures: computed("signature"), oprfs: computed("oprf") };
        (answers.remove(0), Work { stored: self.counts.take(), computed })
    }

    /// The recorded call with other bytes for these in its body and its sender, and signed again.
    pub(super) fn changed(&self, from: &[u8], to: &[u8]) -> Call {
        let mut call = self.arena.recorded().outgoing.call.clone();
        call.body = Opaque::new(replaced(call.body.as_slice(), from, to)).unwrap();
        if let Some(frame) = &mut call.auth {
            frame.sender = Sender::decode(&replaced(&frame.sender.encode(), from, to)).unwrap();
        }
        self.arena.signed(call)
    }

    /// The recorded call of another sender, with a signature that is not right.
    pub(super) fn with_sender(&self, change: impl FnOnce(&mut Sender)) -> Call {
        let mut call = self.arena.recorded().outgoing.call.clone();
        let frame = call.auth.as_mut().unwrap();
        change(&mut frame.sender);
        frame.nonce = [0x46; 16];
        call
    }

    /// Ends a login without its password.
    pub(super) fn finish(&mut self, user: &UserId, login: [u8; 16]) -> Asked {
        let key = SigningKey::generate(Suite::Ed25519, &mut Chance::from_seed([1; 32]));
        let queue_key = HpkeSecretKey::generate(Suite::Ed25519, &mut Chance::from_seed([2; 32]));
        let now = self.arena.recorded().before.at.as_secs();
        let payload = ClientCredentialPayload {
            client: ClientId { user: user.clone(), client: Uuid([0x47; 16]) },
            validity: ExpirationData { not_before: now, not_after: now + DAY },
            key: key.verifying_key(),
            signer: Fingerprint([0x48; 32]),
        };
        let request = AddClientFinishRequest {
            factor: SecondFactor { login, ke3: Opaque::new(vec![0x49; KE3]).unwrap() },
            csr: Csr::new(&key, payload).unwrap(),
            queue_key: queue_key.public_key().clone(),
        };
        let recorded = self.arena.recorded();
        let mut call = call_of::<AddClientFinish>(request.encode().to_vec());
        let mut frame = AuthFrame {
            sender: Sender::NewKey(key.verifying_key()),
            issued_at: now,
            nonce: [0x50; 16],
            signature: Signature::default(),
            co_signatures: List::default(),
        };
        let audience = Audience { service: ServiceName::As, domain: recorded.to.clone() };
        frame.signature = key.sign("Call", &CallTbs::encoding(&call, &frame, audience));
        call.auth = Some(frame);
        self.ask(call)
    }
}

/// A call of this body that nobody signed.
pub(super) fn call_of<E: Endpoint>(body: Vec<u8>) -> Call {
    let body = Opaque::new(body).unwrap();
    Call { version: VERSION, endpoint: E::DESCRIPTION.id, auth: None, token: None, body }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let places = (0..bytes.len().saturating_sub(from.len() - 1)).filter(|at| bytes[*at..].starts_with(from));
    for at in places.collect::<Vec<_>>() {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

#[derive(Clone, Default)]
struct Counts(Arc<[AtomicUsize; 5]>);

impl Counts {
    fn note(&self, call: StoreCall<'_>) -> Strike {
        let count = |at: usize, count| self.0[at].fetch_add(count, Ordering::Relaxed);
        match call {
            StoreCall::Read(places) => {
                count(0, 1);
                count(1, places.len());
            }
            StoreCall::Commit(batch) => {
                count(2, 1);
                count(3, batch.parts.len());
                count(4, batch.parts.iter().map(|part| part.writes.len()).sum());
            }
            StoreCall::Due(_) => {}
        }
        Strike::Spare
    }

    fn take(&self) -> [usize; 5] {
        [0, 1, 2, 3, 4].map(|at: usize| self.0[at].swap(0, Ordering::Relaxed))
    }
}

/// Bytes of a KE3 (RFC 9807: a MAC of SHA-512).
const KE3: usize = 64;
