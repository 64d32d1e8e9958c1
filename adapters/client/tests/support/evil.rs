//! What whoever runs an AS can do with its keys.

use bytes::Bytes;
use phoenix_core::{
    ClientId, Fingerprint, Fqdn, Timestamp,
    credential::{
        AsCredential, AsIdentity, AsIntermediateCredential, AuthorityStatement, AuthorityStatementTbs,
        ClientCredential, ClientCredentialPayload, Csr, ExpirationData, RevocationEntry, RevocationList,
        RevocationListTbs,
    },
    crypto::{Chance, SigningKey, Suite},
    token::{KeyList, KeyListEntry, SignedKeyList},
    wire::{List, Wire},
};

/// A root and an intermediate of a domain beside those that are published.
pub struct Evil {
    domain: Fqdn,
    root_key: SigningKey,
    root: AsCredential,
    key: SigningKey,
    intermediate: AsIntermediateCredential,
    validity: ExpirationData,
}

impl Evil {
    pub fn of(domain: &str, now: Timestamp, seed: u8) -> Self {
        let domain: Fqdn = domain.parse().expect("domain");
        let mut chance = Chance::from_seed([seed; 32]);
        let (root_key, key) = (
            SigningKey::generate(Suite::Ed25519, &mut chance),
            SigningKey::generate(Suite::Ed25519, &mut chance),
        );
        let validity =
            ExpirationData { not_before: now.as_secs() - 86_400, not_after: now.as_secs() + 300 * 86_400 };
        let root = AsCredential::issue(domain.clone(), validity, &root_key).expect("signed");
        let intermediate = AsIntermediateCredential::issue(&key, validity, &root, &root_key).expect("signed");
        Self { domain, root_key, root, key, intermediate, validity }
    }

    /// What is published, with these beside it: all signed by these, and the statement a serial further.
    pub fn beside(&self, published: &[u8]) -> Bytes {
        let identity = AsIdentity::decode(published).expect("an identity");
        let entries = identity.revocations.payload.entries.to_vec();
        let serial = identity.revocations.payload.serial;
        self.publish(&identity, (identity.statement.payload.serial + 1, serial), entries).encode()
    }

    /// The same, with other serials and revocations.
    pub fn publish(
        &self,
        identity: &AsIdentity,
        (statement, list): (u64, u64),
        revoked: Vec<RevocationEntry>,
    ) -> AsIdentity {
        let mut roots = identity.roots.to_vec();
        roots.push(self.root.clone());
        let mut intermediates = identity.intermediates.to_vec();
        intermediates.push(self.intermediate.clone());
        let listed = intermediates.iter().map(AsIntermediateCredential::fingerprint).collect();
        let statement = AuthorityStatementTbs {
            serial: statement,
            intermediates: List::new(listed).expect("few"),
            signer: self.root.fingerprint(),
            ..identity.statement.payload.clone()
        };
        AsIdentity {
            roots: List::new(roots).expect("few"),
            statement: AuthorityStatement::issue(statement, &self.root_key).expect("signed"),
            intermediates: List::new(intermediates).expect("few"),
            revocations: self.revocations(identity, list, revoked),
        }
    }

    /// The same, with a statement a serial further that revokes other roots.
    pub fn revoke(&self, identity: &AsIdentity, revoked: Vec<Fingerprint>) -> AsIdentity {
        let statement = AuthorityStatementTbs {
            serial: identity.statement.payload.serial + 1,
            revoked: List::new(revoked).expect("few"),
            signer: self.root(),
            ..identity.statement.payload.clone()
        };
        let statement = AuthorityStatement::issue(statement, &self.root_key).expect("signed");
        AsIdentity { statement, ..identity.clone() }
    }

    pub fn root(&self) -> Fingerprint {
        self.root.fingerprint()
    }

    /// A revocation list, signed by the intermediate.
    pub fn revocations(
        &self,
        identity: &AsIdentity,
        serial: u64,
        entries: Vec<RevocationEntry>,
    ) -> RevocationList {
        let list = RevocationListTbs {
            serial,
            entries: List::new(entries).expect("few"),
            signer: self.intermediate.fingerprint(),
            ..identity.revocations.payload.clone()
        };
        RevocationList::issue(list, &self.key).expect("signed")
    }

    /// Another list of token keys, signed by the intermediate.
    pub fn key_list(&self, published: &[u8], change: impl FnOnce(&mut u64, &mut Vec<KeyListEntry>)) -> Bytes {
        let SignedKeyList { list, .. } = SignedKeyList::decode(published).expect("a list");
        let (mut serial, mut keys) = (list.serial, list.keys.to_vec());
        change(&mut serial, &mut keys);
        let (keys, signer) = (List::new(keys).expect("few"), self.intermediate.fingerprint());
        KeyList { serial, keys, signer, ..list }.sign(&self.key).expect("signed").encode()
    }

    /// A credential for a client that never asked for one.
    pub fn credential(&self, client: &ClientId, key: &SigningKey, now: Timestamp) -> ClientCredential {
        assert_eq!(client.user.domain, self.domain);
        let payload = ClientCredentialPayload {
            client: client.clone(),
            validity: ExpirationData { not_after: now.as_secs() + 86_400, ..self.validity },
            key: key.verifying_key(),
            signer: self.intermediate.fingerprint(),
        };
        let csr = Csr::new(key, payload).expect("signed");
        ClientCredential::issue(csr, &self.intermediate, &self.key, now).expect("issued")
    }
}
