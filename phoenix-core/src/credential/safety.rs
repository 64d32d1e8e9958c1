//! Numbers that two users compare to know that nobody stands between them (03, "Out-of-band check").

use sha2::{Digest, Sha512};

use crate::{UserId, crypto::VerifyingKey, wire::Wire};

/// Sixty decimal digits over two users and the signature keys of their clients; the same for both of them, whoever
/// comes first and in whatever order the keys are.
///
/// Digits: the hash is iterated 5,200 times, `h = SHA-512(h || input)`, and each of the first twelve times five bytes
/// gives five digits. Costs some milliseconds, to make searching for a number like another's as much dearer.
#[must_use]
pub fn safety_number(a: (&UserId, &[VerifyingKey]), b: (&UserId, &[VerifyingKey])) -> String {
    let mut sides = [side(a), side(b)];
    sides.sort();
    let input = [PREFIX, sides.concat().as_slice()].concat();
    let mut hash = Sha512::digest(&input);
    for _ in 1..ITERATIONS {
        hash = Sha512::new_with_prefix(hash).chain_update(&input).finalize();
    }
    hash.chunks_exact(GROUP).take(GROUPS).map(digits).collect()
}

/// A user and its sorted keys; each part's encoding tells its own length.
fn side((user, keys): (&UserId, &[VerifyingKey])) -> Vec<u8> {
    let mut keys: Vec<_> = keys.iter().collect();
    keys.sort();
    keys.dedup();
    let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    let mut encoded = [user.encode().as_ref(), &count.to_be_bytes()].concat();
    keys.iter().for_each(|key| encoded.extend_from_slice(&key.encode()));
    encoded
}

fn digits(bytes: &[u8]) -> String {
    let number = bytes.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    format!("{:05}", number % 100_000)
}

/// Begins what is hashed.
const PREFIX: &[u8] = b"Phoenix 1.0 SafetyNumber";
/// As often as Signal does, for like reasons (03).
const ITERATIONS: u32 = 5_200;
/// Bytes of hash that give five digits; their remainder is even to 10^-7.
const GROUP: usize = 5;
/// Groups of five digits.
const GROUPS: usize = 12;
