//! Proof of work (05, "Registration policy").

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{UserId, crypto::sha256, wire::Wire};

/// Asks for work: a nonce for which SHA-256(salt || user id || nonce) begins with so many zero bits.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct WorkChallenge {
    /// Made by the server so that it knows its own challenges again without keeping them.
    pub salt: [u8; 32],
    /// How many bits; each one more doubles the work. At most [`MAX_BITS`].
    pub bits: u8,
    /// Last second in which a solution is taken.
    pub expires: u64,
}

/// A solution, good once.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct WorkProof {
    /// What was asked.
    pub challenge: WorkChallenge,
    /// The answer.
    pub nonce: u64,
}

impl WorkChallenge {
    /// Tries `tries` nonces from `from` on: about half a microsecond each.
    #[must_use]
    pub fn solve(&self, user: &UserId, from: u64, tries: u64) -> Option<WorkProof> {
        let user = user.encode();
        let nonces = (0..tries).map(|at| from.wrapping_add(at));
        let nonce = nonces.into_iter().find(|nonce| self.is_solved(&user, *nonce))?;
        Some(WorkProof { challenge: self.clone(), nonce })
    }

    fn is_solved(&self, user: &[u8], nonce: u64) -> bool {
        let hash = sha256(&[&self.salt[..], user, &nonce.to_be_bytes()].concat());
        leading_zeros(&hash) >= u32::from(self.bits)
    }
}

impl WorkProof {
    /// Whether the nonce solves the challenge for this user. That the challenge is the server's own, has not expired
    /// and was not solved before is for the server to know.
    #[must_use]
    pub fn holds(&self, user: &UserId) -> bool {
        self.challenge.is_solved(&user.encode(), self.nonce)
    }
}

fn leading_zeros(hash: &[u8; 32]) -> u32 {
    let (mut zeros, mut rest) = (0_u32, hash.iter());
    for byte in rest.by_ref() {
        zeros = zeros.saturating_add(byte.leading_zeros());
        if *byte != 0 {
            break;
        }
    }
    zeros
}

/// The hardest challenge: about two minutes of one core, so that even a slow one makes it in the hour that it has.
pub const MAX_BITS: u8 = 28;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{WorkChallenge, WorkProof, leading_zeros};
    use crate::{UserId, Uuid};

    fn user(uuid: u8) -> UserId {
        UserId { uuid: Uuid([uuid; 16]), domain: "alpha.test".parse().unwrap() }
    }

    #[test]
    fn a_solution_holds_for_its_user_and_its_challenge_only() {
        let challenge = WorkChallenge { salt: [1; 32], bits: 12, expires: 0 };

        let proof = challenge.solve(&user(1), 0, 1 << 20).unwrap();

        assert!(proof.holds(&user(1)));
        assert!(!proof.holds(&user(2)));
        let other = WorkChallenge { salt: [2; 32], ..challenge };
        assert!(!WorkProof { challenge: other, nonce: proof.nonce }.holds(&user(1)));
    }

    #[test]
    fn zero_bits_are_counted_from_the_first() {
        let mut hash = [0; 32];
        assert_eq!(leading_zeros(&hash), 256);
        hash[1] = 0x10;
        assert_eq!(leading_zeros(&hash), 11);
        hash[0] = 0x80;
        assert_eq!(leading_zeros(&hash), 0);
    }
}
