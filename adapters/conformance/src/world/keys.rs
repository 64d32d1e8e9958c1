//! The signing keys of a story: those of its clients are grown anew from the seeds that the clients drew from the world,
//! those of its homeservers lie in their stores, which no operator has sealed.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use phoenix_core::{
    KeyId,
    crypto::{AtRestKey, SigningKey, Suite},
    operation::FRAME_LABEL,
    port::{Entropy, Space},
    wire::{Audience, AuthFrame, Call, CallTbs, List, Secret, Sender, Wire},
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::{recorder::Recorded, tape::Stream};

/// The seeds that clients drew. Clones are one list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seeds {
    drawn: Arc<Mutex<Vec<[u8; 32]>>>,
}

impl Seeds {
    fn lock(&self) -> MutexGuard<'_, Vec<[u8; 32]>> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The randomness of a client whose first draws are kept: the seeds of everything that it makes up later.
pub(crate) struct Overheard {
    stream: Stream,
    seeds: Seeds,
    left: Mutex<usize>,
}

impl Overheard {
    pub(crate) fn new(stream: Stream, seeds: Seeds) -> Self {
        Self { stream, seeds, left: Mutex::new(SEEDS) }
    }
}

impl Entropy for Overheard {
    fn fill(&self, buffer: &mut [u8]) {
        self.stream.fill(buffer);
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Ok(seed), 1..) = (<[u8; 32]>::try_from(&*buffer), *left) {
            *left = left.saturating_sub(1);
            self.seeds.lock().push(seed);
        }
    }
}

/// Who signed a recorded call: the key of its frame, and those of its co-signatures in their order.
#[derive(Clone, Debug)]
pub struct Signers {
    key: SigningKey,
    co_signers: Vec<SigningKey>,
}

impl Signers {
    /// Signs a call as whoever signed it would have: all that the frame says stays, but its signatures are made for this
    /// audience. None where the call has no frame.
    #[must_use]
    pub fn sign(&self, call: &Call, audience: Audience) -> Option<AuthFrame> {
        let mut frame = call.auth.clone()?;
        let covered = CallTbs::encoding(call, &frame, audience);
        frame.signature = self.key.sign(FRAME_LABEL, &covered);
        let mut co_signatures = frame.co_signatures.into_vec();
        for (co_signature, key) in co_signatures.iter_mut().zip(&self.co_signers) {
            co_signature.signature = key.sign(FRAME_LABEL, &covered);
        }
        frame.co_signatures = List::new(co_signatures).ok()?;
        Some(frame)
    }

    fn of(recorded: &Recorded, keys: &[SigningKey]) -> Option<Self> {
        let call = &recorded.outgoing.call;
        let frame = call.auth.as_ref()?;
        let audience = Audience { service: recorded.outgoing.service, domain: recorded.to.clone() };
        let covered = CallTbs::encoding(call, frame, audience);
        let key = keys.iter().find(|key| key.sign(FRAME_LABEL, &covered) == frame.signature)?.clone();
        let by_name = |named| keys.iter().find(|key| key.verifying_key() == named).cloned();
        let co_signers: Option<Vec<_>> =
            frame.co_signatures.iter().map(|it| by_name(it.key.clone())).collect();
        Some(Self { key, co_signers: co_signers? })
    }
}

/// Finds who signed each call. A client's streams are read along: wherever 32 bytes are a key whose public half
/// somebody was shown, it is one of the client's. A homeserver's key is wherever its secrets hold one of the name that
/// it signed under.
pub(crate) fn find(recorded: &mut [Recorded], seeds: &Seeds) {
    let (shown, seeds) = (&shown(recorded), seeds.lock().clone());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let share = seeds.len().div_ceil(cores).max(1);
    let mut keys: Vec<SigningKey> = thread::scope(|scope| {
        let grow = |seeds| scope.spawn(move || grown(seeds, shown));
        let growing: Vec<_> = seeds.chunks(share).map(grow).collect();
        growing.into_iter().flat_map(|it| it.join().unwrap_or_default()).collect()
    });
    keys.extend(recorded.iter().filter_map(homeservers_key));
    for call in recorded {
        call.signers = Signers::of(call, &keys);
    }
}

/// The keys in the streams of these seeds whose public half was shown.
fn grown(seeds: &[[u8; 32]], shown: &HashSet<Vec<u8>>) -> Vec<SigningKey> {
    let mut keys = Vec::new();
    for seed in seeds {
        let mut stream = vec![0; STREAM];
        ChaCha20Rng::from_seed(*seed).fill_bytes(&mut stream);
        for window in stream.windows(KEY).step_by(WORD) {
            let Ok(secret) = <[u8; KEY]>::try_from(window) else { continue };
            let Ok(key) = SigningKey::from_secret_bytes(Suite::Ed25519, &Secret::new(secret)) else {
                continue;
            };
            if shown.contains(key.verifying_key().key.as_slice()) {
                keys.push(key);
            }
        }
    }
    keys
}

/// All that may be a public key in what was sent and what is stored.
fn shown(recorded: &[Recorded]) -> HashSet<Vec<u8>> {
    let sent = recorded.iter().map(|it| it.outgoing.call.encode().to_vec());
    let stores = recorded.iter().flat_map(|it| it.before.disks.values());
    let rows = stores.flat_map(|store| store.dump()).flat_map(|(_, found)| found.rows);
    let mut texts: HashSet<Vec<u8>> = rows.map(|(_, value)| value.to_vec()).collect();
    texts.extend(sent);
    texts.iter().flat_map(|text| text.windows(KEY)).map(<[u8]>::to_vec).collect()
}

/// The key by which a homeserver signed a call.
fn homeservers_key(recorded: &Recorded) -> Option<SigningKey> {
    let Sender::Homeserver(domain, service, name) = &recorded.outgoing.call.auth.as_ref()?.sender else {
        return None;
    };
    let dump = recorded.before.disks.get(domain)?.dump();
    let (_, secrets) = dump.into_iter().find(|(at, _)| at.space() == Space::Peers && at.key() == SECRETS)?;
    let row = |name: &[u8]| secrets.rows.iter().find(|(at, _)| at == name).map(|(_, row)| row);
    let root = row(ROOT)?.as_ref().try_into().ok()?;
    let name_of_row = service.as_str().as_bytes();
    let opened = AtRestKey::new(Secret::new(root)).open(name_of_row, row(name_of_row)?).ok()?;
    let mut secrets = opened.as_slice().windows(KEY).filter_map(|window| window.try_into().ok());
    secrets.find_map(|secret| {
        let key = SigningKey::from_secret_bytes(Suite::Ed25519, &Secret::new(secret)).ok()?;
        (KeyId::of(&key.verifying_key()) == *name).then_some(key)
    })
}

/// The partition of a homeserver's secrets, and the row of the root key that nobody has sealed.
const SECRETS: &[u8] = &[1];
const ROOT: &[u8] = b"root";
const KEY: usize = 32;
/// The generator gives whole words.
const WORD: usize = 4;
/// Draws of a client that may be seeds: those of its registration and its password, and of what it is later.
const SEEDS: usize = 3;
/// As much of each stream is read.
const STREAM: usize = 64 * 1024;
