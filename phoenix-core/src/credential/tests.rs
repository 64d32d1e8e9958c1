//! What the chain of credentials must hold. [`Authority`] makes whole chains, for the tests of other modules too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may fail loudly

mod chain;
mod documents;
mod links;
mod revocation;

use super::{
    AsCredential, AsIdentity, AsIntermediateCredential, AsKeys, AuthorityStatement, AuthorityStatementTbs,
    ClientCredential, ClientCredentialPayload, Csr, ExpirationData, RevocationEntry, RevocationList,
    RevocationListTbs,
};
use crate::{
    ClientId, Fingerprint, Fqdn, Timestamp, UserId, Uuid,
    crypto::{Chance, SigningKey, Suite},
    wire::List,
};

/// The time of all tests here.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_000_000);
const SUITES: [Suite; 2] = [Suite::Ed25519, Suite::P256];

/// An AS with its keys at hand.
pub(crate) struct Authority {
    pub(crate) domain: Fqdn,
    pub(crate) root_key: SigningKey,
    pub(crate) root: AsCredential,
    pub(crate) key: SigningKey,
    pub(crate) intermediate: AsIntermediateCredential,
    pub(crate) revoked: Vec<RevocationEntry>,
    pub(crate) chance: Chance,
}

impl Authority {
    pub(crate) fn new(domain: &str, suite: Suite) -> Self {
        let mut chance = Chance::from_seed(crate::crypto::sha256(domain.as_bytes()));
        let domain: Fqdn = domain.parse().unwrap();
        let root_key = SigningKey::generate(suite, &mut chance);
        let root = AsCredential::issue(domain.clone(), validity(0, 9_000_000), &root_key).unwrap();
        let key = SigningKey::generate(suite, &mut chance);
        let intermediate =
            AsIntermediateCredential::issue(&key, validity(10, 5_000_000), &root, &root_key).unwrap();
        Self { domain, root_key, root, key, intermediate, revoked: Vec::new(), chance }
    }

    pub(crate) fn statement(&self, serial: u64) -> AuthorityStatementTbs {
        AuthorityStatementTbs {
            as_domain: self.domain.clone(),
            serial,
            expires: 2_000_000,
            intermediates: List::new(vec![self.intermediate.fingerprint()]).unwrap(),
            revoked: List::default(),
            signer: self.root.fingerprint(),
        }
    }

    pub(crate) fn revocations(&self, serial: u64) -> RevocationListTbs {
        RevocationListTbs {
            as_domain: self.domain.clone(),
            serial,
            expires: 2_000_000,
            entries: List::new(self.revoked.clone()).unwrap(),
            signer: self.intermediate.fingerprint(),
        }
    }

    pub(crate) fn identity(&self, serial: u64) -> AsIdentity {
        AsIdentity {
            roots: List::new(vec![self.root.clone()]).unwrap(),
            statement: AuthorityStatement::issue(self.statement(serial), &self.root_key).unwrap(),
            intermediates: List::new(vec![self.intermediate.clone()]).unwrap(),
            revocations: RevocationList::issue(self.revocations(serial), &self.key).unwrap(),
        }
    }

    pub(crate) fn keys(&self) -> AsKeys {
        AsKeys::verify(self.identity(1), &self.domain, NOW).unwrap()
    }

    pub(crate) fn payload(&self, number: u8, key: &SigningKey) -> ClientCredentialPayload {
        let user = UserId { uuid: Uuid([number; 16]), domain: self.domain.clone() };
        ClientCredentialPayload {
            client: ClientId { user, client: Uuid([number; 16]) },
            validity: validity(900_000, 1_500_000),
            key: key.verifying_key(),
            signer: self.intermediate.fingerprint(),
        }
    }

    pub(crate) fn client(&mut self, number: u8, suite: Suite) -> (ClientCredential, SigningKey) {
        let key = SigningKey::generate(suite, &mut self.chance);
        let csr = Csr::new(&key, self.payload(number, &key)).unwrap();
        (ClientCredential::issue(csr, &self.intermediate, &self.key, NOW).unwrap(), key)
    }

    pub(crate) fn revoke(&mut self, credential: Fingerprint, revoked_at: u64) {
        self.revoked.push(RevocationEntry { credential, revoked_at });
    }
}

pub(crate) const fn validity(not_before: u64, not_after: u64) -> ExpirationData {
    ExpirationData { not_before, not_after }
}
