//! The secrets of the AS, and what it publishes of them (03, 05).

use std::{fmt, sync::Arc};

use bytes::Bytes;
use phoenix_core::{
    Fault, Fqdn, Timestamp,
    credential::{
        AsIdentity, AsIntermediateCredential, AsKeys, AuthorityStatement, MAX_REVOCATIONS, RevocationEntry,
        RevocationList, RevocationListTbs,
    },
    crypto::{Chance, SigningKey, Suite},
    dpop::DpopKey,
    time::DAY,
    token::{Rotation, SignedKeyList, TokenKeys},
    wire::{List, Secret, Wire},
};
use tls_codec::{Serialize, Size, TlsDeserializeBytes, TlsSerialize, TlsSize};
use zeroize::Zeroizing;

use crate::{
    AuthorityChange, AuthorityError, Root, RootKey,
    authority::Authority,
    dpop_keys::DpopKeys,
    opaque::{OpaqueServer, SETUP},
};

/// The keys of one AS: an immutable value. The root's own key is not among them: the running server needs only its
/// certificate.
pub struct AuthKeys {
    authority: Authority,
    opaque: OpaqueServer,
    tokens: Arc<TokenKeys>,
    dpop: DpopKeys,
    key_list: SignedKeyList,
    /// What a peer learns, checked, for verifying our own clients; lasts as long as the statement.
    verified: AsKeys,
}

/// The keys, for sealed storage.
#[derive(TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Stored {
    version: u8,
    authority: Authority,
    opaque: Secret<SETUP>,
    tokens: TokenKeys,
    dpop: DpopKeys,
}

impl AuthKeys {
    /// All keys of a new homeserver. The root is made, signs the first intermediate and the statement, and its key
    /// is wiped: renewing them then takes a new root.
    ///
    /// # Errors
    /// None in practice: [`Fault::Broken`] where a fresh key does not sign.
    pub fn generate(domain: &Fqdn, now: Timestamp, chance: &mut Chance) -> Result<Self, Fault> {
        let root = RootKey::generate(domain.clone(), Suite::Ed25519, now, chance)?;
        Self::under(&root.root(), Suite::Ed25519, now, chance)
    }

    /// All keys of a new homeserver of the root's domain. The root signs an intermediate of the suite and the
    /// statement.
    ///
    /// # Errors
    /// [`Fault::Broken`] where the root is not valid now, or does not sign.
    pub fn under(root: &Root, suite: Suite, now: Timestamp, chance: &mut Chance) -> Result<Self, Fault> {
        let authority = Authority::new(root, suite, now, chance)
            .map_err(|_| Fault::Broken("the root makes no authority"))?;
        let opaque = OpaqueServer::generate(&mut chance.child("opaque"));
        let domain = root.certificate().payload.as_domain.clone();
        let tokens = TokenKeys::generate(domain, now, &Rotation::default(), &mut chance.child("tokens"));
        let dpop = DpopKeys::generate(now, &mut chance.child("dpop"));
        Self::assemble(authority, opaque, Arc::new(tokens), dpop)
    }

    /// These keys after a change of what signs for the domain: the statement's serial grows, and token keys and the
    /// secrets of logins stay.
    ///
    /// # Errors
    /// [`AuthorityError`] where the root may not sign that.
    pub fn changed(
        &self,
        change: AuthorityChange,
        root: &Root,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Result<Self, AuthorityError> {
        let authority = self.authority.clone().changed(change, root, now, chance)?;
        Ok(self.with(authority, self.tokens.clone(), self.dpop.clone())?)
    }

    /// The keys, for sealed storage. All copies made on the way are wiped.
    ///
    /// # Errors
    /// None in practice: [`Fault::Broken`] where something does not fit into its stored form.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let Self { authority, opaque, tokens, dpop, key_list: _, verified: _ } = self;
        let (authority, tokens, dpop) = (authority.clone(), TokenKeys::clone(tokens), dpop.clone());
        let stored = Stored { version: VERSION, authority, opaque: opaque.encode()?, tokens, dpop };
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
        let broken = |_| Fault::Broken("stored keys of the AS");
        if stored.first() != Some(&VERSION) {
            return Err(Fault::Broken("version of the stored keys of the AS"));
        }
        let Stored { version: _, authority, opaque, tokens, dpop } =
            Stored::decode(stored).map_err(broken)?;
        Self::assemble(authority, OpaqueServer::decode(opaque.expose())?, Arc::new(tokens), dpop)
    }

    /// These keys with the keys of tokens as they should be now (05, "Rotation", "DPoP"). `None` where they are so
    /// already.
    ///
    /// # Errors
    /// None in practice: as [`AuthKeys::generate`].
    pub fn rotated(
        &self,
        now: Timestamp,
        rotation: &Rotation,
        chance: &mut Chance,
    ) -> Result<Option<Self>, Fault> {
        let tokens = self.tokens.rotated(now, rotation, chance);
        let dpop = self.dpop.rotated(now, &mut chance.child("dpop"));
        if tokens.is_none() && dpop.is_none() {
            return Ok(None);
        }
        let tokens = tokens.map_or_else(|| self.tokens.clone(), Arc::new);
        let dpop = dpop.unwrap_or_else(|| self.dpop.clone());
        self.with(self.authority.clone(), tokens, dpop).map(Some)
    }

    /// These keys with one fresh key of DPoP tokens in place of all, which signs at once: for where somebody else has one of
    /// them. What they signed is good no more.
    ///
    /// # Errors
    /// None in practice: as [`AuthKeys::generate`].
    pub fn with_dpop_retired(&self, now: Timestamp, chance: &mut Chance) -> Result<Self, Fault> {
        let dpop = DpopKeys::generate(now, &mut chance.child("dpop"));
        self.with(self.authority.clone(), self.tokens.clone(), dpop)
    }

    /// The keys of a store that was restored (09): all token keys are new, since it was forgotten which tokens were
    /// spent, and serials leave out as many as are told.
    ///
    /// # Errors
    /// None in practice: as [`AuthKeys::generate`].
    pub fn restored(
        &self,
        jump: u64,
        now: Timestamp,
        rotation: &Rotation,
        chance: &mut Chance,
    ) -> Result<Self, Fault> {
        let tokens = self.tokens.retired(jump, now, rotation, chance);
        self.with(self.authority.clone().restored(jump), Arc::new(tokens), self.dpop.clone())
    }

    /// What vouches for the clients of the domain, with the list of those that are void.
    #[must_use]
    pub fn identity(&self, revocations: RevocationList) -> AsIdentity {
        self.authority.identity(revocations)
    }

    /// Signs the list of void client credentials. It is good for fourteen days from the day's beginning, so that one
    /// serial is signed once a day: a peer that cannot ask again in that time stops trusting what it knows.
    ///
    /// # Errors
    /// None in practice: as [`AuthKeys::generate`].
    pub fn revocation_list(
        &self,
        serial: u64,
        entries: List<RevocationEntry, MAX_REVOCATIONS>,
        now: Timestamp,
    ) -> Result<RevocationList, Fault> {
        let (intermediate, key) = self.intermediate();
        let payload = RevocationListTbs {
            as_domain: self.authority.domain().clone(),
            serial,
            expires: self.revocations_expire(now),
            entries,
            signer: intermediate.fingerprint(),
        };
        Ok(RevocationList::issue(payload, key)?)
    }

    /// The last second of what is signed now about revocations, never after the statement's.
    #[must_use]
    pub fn revocations_expire(&self, now: Timestamp) -> u64 {
        let today = (now.as_secs() / DAY).saturating_mul(DAY);
        today.saturating_add(REVOCATIONS_S).min(self.statement().payload.expires)
    }

    /// Whose keys.
    #[must_use]
    pub const fn domain(&self) -> &Fqdn {
        self.authority.domain()
    }

    /// The first moment at which what these sign is valid; the clock of a homeserver that is earlier is wrong.
    #[must_use]
    pub fn begins(&self) -> Timestamp {
        self.authority.begins()
    }

    /// Whether what these sign now is valid now.
    #[must_use]
    pub fn are_in_force(&self, now: Timestamp) -> bool {
        (self.begins()..=self.ends()).contains(&now)
    }

    /// The last second in which these sign what others accept, unless a root renews them.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        let (intermediate, _) = self.intermediate();
        Timestamp::from_secs(self.statement().payload.expires.min(intermediate.payload.validity.not_after))
    }

    /// What a root says of the others; where it ends, nothing of the domain is trusted any more.
    #[must_use]
    pub const fn statement(&self) -> &AuthorityStatement {
        self.authority.statement()
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

    /// The keys that verify DPoP tokens, as they are published: those that signed tokens which may be good, and the next.
    #[must_use]
    pub fn jwks(&self) -> Bytes {
        self.dpop.published()
    }

    /// Verifies credentials of our own clients.
    #[must_use]
    pub const fn verified(&self) -> &AsKeys {
        &self.verified
    }

    /// Signs client credentials and lists.
    pub(crate) const fn intermediate(&self) -> (&AsIntermediateCredential, &SigningKey) {
        self.authority.intermediate()
    }

    /// Signs DPoP tokens now; none for some moments where the homeserver was away for days.
    pub(crate) fn dpop_signer(&self, now: Timestamp) -> Option<&DpopKey> {
        self.dpop.signer(now)
    }

    pub(crate) const fn opaque(&self) -> &OpaqueServer {
        &self.opaque
    }

    fn with(&self, authority: Authority, tokens: Arc<TokenKeys>, dpop: DpopKeys) -> Result<Self, Fault> {
        let opaque = OpaqueServer::decode(self.opaque.encode()?.expose())?;
        Self::assemble(authority, opaque, tokens, dpop)
    }

    fn assemble(
        authority: Authority,
        opaque: OpaqueServer,
        tokens: Arc<TokenKeys>,
        dpop: DpopKeys,
    ) -> Result<Self, Fault> {
        let broken = |_| Fault::Broken("keys of the AS do not fit together");
        let (intermediate, key) = authority.intermediate();
        let key_list = tokens.list(intermediate.fingerprint()).map_err(broken)?.sign(key)?;
        // It names nobody: what revokes our own clients is their record.
        let none = RevocationListTbs {
            as_domain: authority.domain().clone(),
            serial: 0,
            expires: authority.statement().payload.expires,
            entries: List::default(),
            signer: intermediate.fingerprint(),
        };
        let identity = authority.identity(RevocationList::issue(none, key)?);
        // As of a time when all of it was valid: whether it still is, is asked at each use.
        let verified = AsKeys::verify(identity, authority.domain(), authority.begins()).map_err(broken)?;
        Ok(Self { authority, opaque, tokens, dpop, key_list, verified })
    }
}

impl fmt::Debug for AuthKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthKeys")
    }
}

/// Validity of a revocation list, in seconds: longer than the seven days for which deliveries wait for a peer (01).
const REVOCATIONS_S: u64 = 14 * DAY;
/// The form of the stored keys.
const VERSION: u8 = 5;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use phoenix_core::{
        Fqdn, Timestamp,
        credential::AsKeys,
        crypto::Chance,
        time::DAY,
        token::{Class, Rotation},
        wire::List,
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

    /// What others know at a time, where they asked at another.
    fn verified(keys: &AuthKeys, asked: Timestamp, at: Timestamp) -> Option<AsKeys> {
        let identity = keys.identity(keys.revocation_list(1, List::default(), asked).unwrap());
        AsKeys::verify(identity, &domain(), at).ok()
    }

    #[test]
    fn what_is_published_verifies_for_a_year_and_each_time_for_fourteen_days() {
        let keys = keys();

        for day in [0, 1, 13, 15, 100, 364] {
            let at = now().plus_secs(day * DAY);
            let verified = verified(&keys, at, at).unwrap();
            assert!(keys.key_list().verify(&verified, at).is_ok(), "day {day}");
        }
        assert!(verified(&keys, now(), now().plus_secs(13 * DAY)).is_some());
        assert!(verified(&keys, now(), now().plus_secs(15 * DAY)).is_none());
        let after = now().plus_secs(366 * DAY);
        assert!(verified(&keys, after, after).is_none());
    }

    #[test]
    fn a_later_publication_may_take_an_earlier_ones_place() {
        let keys = keys();
        let at = |day: u64| {
            let at = now().plus_secs(day * DAY);
            verified(&keys, at, at).unwrap()
        };

        assert!(at(0).accepts_successor(&at(3)));
    }

    #[test]
    fn stored_keys_publish_the_same_and_damaged_ones_are_refused() {
        let keys = keys();
        let stored = keys.encode().unwrap();

        let restored = AuthKeys::decode(&stored).unwrap();

        assert_eq!(verified(&restored, now(), now()), verified(&keys, now(), now()));
        assert_eq!(restored.key_list(), keys.key_list());
        assert_eq!(restored.jwks(), keys.jwks());
        assert_eq!(restored.opaque().encode(), keys.opaque().encode());
        assert!(AuthKeys::decode(&stored[1..]).is_err());
        let mut damaged = stored.to_vec();
        damaged[100] ^= 1;
        assert!(AuthKeys::decode(&damaged).is_err());
    }

    #[test]
    fn a_restore_leaves_no_token_key_and_serials_that_nobody_has_seen() {
        let (keys, mut chance) = (keys(), Chance::from_seed([2; 32]));

        let restored = keys.restored(1 << 32, now(), &Rotation::default(), &mut chance).unwrap();

        let (before, after) = (&keys.key_list().list, &restored.key_list().list);
        assert!(after.serial > before.serial + (1 << 32) - 1);
        assert!(after.keys.iter().all(|key| before.keys.iter().all(|old| old.key_id() != key.key_id())));
        assert!(after.issuing(Class::Standard, now()).is_some());
        assert!(keys.key_list().accepts_successor(restored.key_list()));
        assert_eq!(restored.statement(), keys.statement(), "only a root signs another");
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
