//! The secrets of the AS, and what it publishes of them (03, 05).

use std::{fmt, sync::Arc};

use phoenix_core::{
    Fault, Fqdn, Timestamp,
    credential::{
        AsCredential, AsIdentity, AsIntermediateCredential, AsKeys, AuthorityStatement,
        AuthorityStatementTbs, ExpirationData, RevocationList, RevocationListTbs,
    },
    crypto::{Chance, SigningKey, Suite},
    time::{DAY, HOUR},
    token::{Rotation, SignedKeyList, TokenKeys},
    wire::{List, Secret, Wire},
};
use tls_codec::{Serialize, Size, TlsDeserializeBytes, TlsSerialize, TlsSize};
use zeroize::Zeroizing;

use crate::opaque::{OpaqueServer, SETUP};

/// The keys of one AS: an immutable value. The root's own key is not among them: the running server needs only its
/// certificate.
pub struct AuthKeys {
    authority: Authority,
    opaque: OpaqueServer,
    tokens: Arc<TokenKeys>,
    key_list: SignedKeyList,
    /// What a peer learns, checked, for verifying our own clients; lasts as long as the statement.
    verified: AsKeys,
}

/// What signs, and what vouches for it.
#[derive(Clone, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Authority {
    root: AsCredential,
    intermediate: AsIntermediateCredential,
    intermediate_key: SigningKey,
    statement: AuthorityStatement,
}

/// The keys, for sealed storage.
#[derive(TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Stored {
    version: u8,
    authority: Authority,
    opaque: Secret<SETUP>,
    tokens: TokenKeys,
}

impl AuthKeys {
    /// All keys of a new homeserver. The root is made, signs the first intermediate and the statement, and its key
    /// is wiped: rotating the intermediate then takes a new root.
    ///
    /// # Errors
    /// None in practice: [`Fault::Broken`] where a fresh key does not sign.
    pub fn generate(domain: &Fqdn, now: Timestamp, chance: &mut Chance) -> Result<Self, Fault> {
        let authority = Authority::generate(domain, now, chance)?;
        let opaque = OpaqueServer::generate(&mut chance.child("opaque"));
        let tokens =
            TokenKeys::generate(domain.clone(), now, &Rotation::default(), &mut chance.child("tokens"));
        Self::assemble(authority, opaque, Arc::new(tokens))
    }

    /// The keys, for sealed storage. All copies made on the way are wiped.
    ///
    /// # Errors
    /// None in practice: [`Fault::Broken`] where something does not fit into its stored form.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let Self { authority, opaque, tokens, key_list: _, verified: _ } = self;
        let (authority, tokens) = (authority.clone(), TokenKeys::clone(tokens));
        let stored = Stored { version: VERSION, authority, opaque: opaque.encode()?, tokens };
        // Never grows, so that nothing is left where it lay before.
        let mut encoded = Zeroizing::new(Vec::with_capacity(stored.tls_serialized_len()));
        stored.tls_serialize(&mut *encoded).map_err(|_| Fault::Broken("keys of the AS do not encode"))?;
        Ok(encoded)
    }

    /// The keys that were stored.
    ///
    /// # Errors
    /// [`Fault::Broken`] where the bytes are none of this version, or do not fit together.
    pub fn decode(stored: &[u8]) -> Result<Self, Fault> {
        let stored = Stored::decode(stored).map_err(|_| Fault::Broken("stored keys of the AS"))?;
        if stored.version != VERSION {
            return Err(Fault::Broken("version of the stored keys of the AS"));
        }
        let Stored { version: _, authority, opaque, tokens } = stored;
        Self::assemble(authority, OpaqueServer::decode(opaque.expose())?, Arc::new(tokens))
    }

    /// These keys with token keys as they should be now (05, "Rotation"). `None` where they are so already.
    ///
    /// # Errors
    /// None in practice: as [`AuthKeys::generate`].
    pub fn rotated(
        &self,
        now: Timestamp,
        rotation: &Rotation,
        chance: &mut Chance,
    ) -> Result<Option<Self>, Fault> {
        let Some(tokens) = self.tokens.rotated(now, rotation, chance) else { return Ok(None) };
        let opaque = OpaqueServer::decode(self.opaque.encode()?.expose())?;
        Self::assemble(self.authority.clone(), opaque, Arc::new(tokens)).map(Some)
    }

    /// What the AS publishes: its credentials with a fresh revocation list, and its token keys.
    ///
    /// # Errors
    /// As [`AuthKeys::identity`].
    pub fn published(&self, now: Timestamp) -> Result<(AsIdentity, SignedKeyList), Fault> {
        Ok((self.identity(now)?, self.key_list.clone()))
    }

    /// The credentials that vouch for clients. The revocation list is signed anew each day, and good for fourteen:
    /// a peer that cannot ask again in that time stops trusting what it knows.
    ///
    /// # Errors
    /// None in practice: as [`AuthKeys::generate`].
    pub fn identity(&self, now: Timestamp) -> Result<AsIdentity, Fault> {
        let today = (now.as_secs() / DAY).saturating_mul(DAY);
        let statement_ends = self.authority.statement.payload.expires;
        self.authority.identity(today.saturating_add(REVOCATIONS_S).min(statement_ends))
    }

    /// The signed list of token keys, the same for everyone.
    #[must_use]
    pub const fn key_list(&self) -> &SignedKeyList {
        &self.key_list
    }

    /// The token keys with their secret halves: all services of the homeserver redeem with them.
    #[must_use]
    pub const fn tokens(&self) -> &Arc<TokenKeys> {
        &self.tokens
    }

    /// Verifies credentials of our own clients.
    #[must_use]
    pub const fn verified(&self) -> &AsKeys {
        &self.verified
    }

    /// Signs client credentials and lists.
    pub(crate) const fn intermediate(&self) -> (&AsIntermediateCredential, &SigningKey) {
        (&self.authority.intermediate, &self.authority.intermediate_key)
    }

    pub(crate) const fn opaque(&self) -> &OpaqueServer {
        &self.opaque
    }

    fn assemble(authority: Authority, opaque: OpaqueServer, tokens: Arc<TokenKeys>) -> Result<Self, Fault> {
        let broken = |_| Fault::Broken("keys of the AS do not fit together");
        let signer = authority.intermediate.fingerprint();
        let key_list = tokens.list(signer).map_err(broken)?.sign(&authority.intermediate_key)?;
        // As of a time when all of it was valid: whether it still is, is asked at each use.
        let issued = Timestamp::from_secs(authority.intermediate.payload.validity.not_before);
        let identity = authority.identity(authority.statement.payload.expires)?;
        let verified = AsKeys::verify(identity, &authority.root.payload.as_domain, issued).map_err(broken)?;
        Ok(Self { authority, opaque, tokens, key_list, verified })
    }
}

impl fmt::Debug for AuthKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthKeys")
    }
}

impl Authority {
    fn generate(domain: &Fqdn, now: Timestamp, chance: &mut Chance) -> Result<Self, Fault> {
        let root_key = SigningKey::generate(Suite::Ed25519, &mut chance.child("root"));
        let intermediate_key = SigningKey::generate(Suite::Ed25519, &mut chance.child("intermediate"));
        // Begins a little in the past, since clients' clocks may be late.
        let not_before = now.as_secs().saturating_sub(HOUR);
        let for_s = |seconds| ExpirationData { not_before, not_after: not_before.saturating_add(seconds) };
        let root = AsCredential::issue(domain.clone(), for_s(ROOT_S), &root_key)?;
        let intermediate =
            AsIntermediateCredential::issue(&intermediate_key, for_s(INTERMEDIATE_S), &root, &root_key)?;
        let statement = AuthorityStatementTbs {
            as_domain: domain.clone(),
            serial: 1,
            expires: intermediate.payload.validity.not_after,
            intermediates: List::new(vec![intermediate.fingerprint()]).unwrap_or_default(),
            revoked: List::default(),
            signer: root.fingerprint(),
        };
        let statement = AuthorityStatement::issue(statement, &root_key)?;
        Ok(Self { root, intermediate, intermediate_key, statement })
    }

    /// What is published, with a revocation list that expires at a second.
    fn identity(&self, expires: u64) -> Result<AsIdentity, Fault> {
        let revocations = RevocationListTbs {
            as_domain: self.root.payload.as_domain.clone(),
            serial: 1,
            expires,
            // Nothing revokes a client yet.
            entries: List::default(),
            signer: self.intermediate.fingerprint(),
        };
        Ok(AsIdentity {
            roots: List::new(vec![self.root.clone()]).unwrap_or_default(),
            statement: self.statement.clone(),
            intermediates: List::new(vec![self.intermediate.clone()]).unwrap_or_default(),
            revocations: RevocationList::issue(revocations, &self.intermediate_key)?,
        })
    }
}

/// Validity of a root, in seconds (03): ten years.
const ROOT_S: u64 = 10 * 365 * DAY;
/// Validity of an intermediate and of the statement, in seconds (03): a year.
const INTERMEDIATE_S: u64 = 365 * DAY;
/// Validity of a revocation list, in seconds: longer than the seven days for which deliveries wait for a peer (01).
const REVOCATIONS_S: u64 = 14 * DAY;
/// The form of the stored keys.
const VERSION: u8 = 2;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use phoenix_core::{
        Fqdn, Timestamp,
        credential::AsKeys,
        crypto::Chance,
        time::DAY,
        token::{Class, Rotation},
    };

    use super::AuthKeys;

    fn domain() -> Fqdn {
        "alpha.test".parse().unwrap()
    }

    fn now() -> Timestamp {
        Timestamp::from_secs(1_700_000_000)
    }

    fn keys() -> AuthKeys {
        AuthKeys::generate(&domain(), now(), &mut Chance::from_seed([1; 32])).unwrap()
    }

    #[test]
    fn what_is_published_verifies_for_a_year_and_under_its_own_domain_only() {
        let keys = keys();

        for day in [0, 1, 13, 15, 100, 364] {
            let at = now().plus_secs(day * DAY);
            let (identity, list) = keys.published(at).unwrap();
            let verified = AsKeys::verify(identity, &domain(), at).unwrap();
            assert!(list.verify(&verified, at).is_ok(), "day {day}");
        }
        let (identity, _) = keys.published(now()).unwrap();
        assert!(AsKeys::verify(identity.clone(), &"beta.test".parse().unwrap(), now()).is_err());
        assert!(AsKeys::verify(identity, &domain(), now().plus_secs(15 * DAY)).is_err());
    }

    #[test]
    fn a_later_publication_may_take_an_earlier_ones_place() {
        let keys = keys();
        let at = |day: u64| {
            let at = now().plus_secs(day * DAY);
            AsKeys::verify(keys.identity(at).unwrap(), &domain(), at).unwrap()
        };

        assert!(at(0).accepts_successor(&at(3)));
    }

    #[test]
    fn stored_keys_publish_the_same_and_damaged_ones_are_refused() {
        let keys = keys();
        let stored = keys.encode().unwrap();

        let restored = AuthKeys::decode(&stored).unwrap();

        assert!(restored.published(now()).unwrap() == keys.published(now()).unwrap());
        assert_eq!(restored.opaque().encode(), keys.opaque().encode());
        assert!(AuthKeys::decode(&stored[1..]).is_err());
        let mut damaged = stored.to_vec();
        damaged[100] ^= 1;
        assert!(AuthKeys::decode(&damaged).is_err());
    }

    #[test]
    fn rotated_token_keys_come_with_a_new_signed_list() {
        let keys = keys();
        let later = now().plus_secs(6 * DAY + DAY / 2);
        let mut chance = Chance::from_seed([2; 32]);

        assert!(keys.rotated(now(), &Rotation::default(), &mut chance).unwrap().is_none());
        let rotated = keys.rotated(later, &Rotation::default(), &mut chance).unwrap().unwrap();

        assert!(keys.key_list().accepts_successor(rotated.key_list()));
        let list = rotated.key_list().verify(rotated.verified(), later).unwrap();
        assert!(list.issuing(Class::Standard, later.plus_secs(2 * DAY)).is_some());
    }
}
