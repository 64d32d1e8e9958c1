//! The keys of a domain's AS, checked (03, "Revocation and rotation").

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    AsCredential, AsIdentity, AsIntermediateCredential, AuthorityStatement, ExpirationData, RevocationDelta,
    RevocationDeltaTbs, RevocationEntry,
};
use crate::{
    Fingerprint, Fqdn, KeyId, Reject, Timestamp,
    crypto::{Signature, VerifyingKey},
};

/// What an AS publishes of itself, checked: roots, statement, intermediates and revocation list fit together, for
/// the domain that they were asked of.
///
/// Credentials that have ended stay in it while the statement lists them, so that a chain can be verified as of an
/// earlier time; each use checks the time again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsKeys {
    identity: AsIdentity,
    roots: BTreeMap<Fingerprint, AsCredential>,
    intermediates: BTreeMap<Fingerprint, AsIntermediateCredential>,
    revoked: BTreeMap<Fingerprint, u64>,
    /// The last that came to the list since it was published.
    delta: Option<RevocationDeltaTbs>,
}

impl AsKeys {
    /// Checks what an AS published.
    ///
    /// Every credential must carry the domain and right signatures. Roots and intermediates that the statement
    /// revokes, and intermediates that it does not list, are left out.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where a signature or domain is wrong, a statement or list has expired, or its
    /// signer is not valid now.
    pub fn verify(identity: AsIdentity, domain: &Fqdn, now: Timestamp) -> Result<Self, Reject> {
        let roots = verified_roots(&identity, domain)?;
        let intermediates = verified_intermediates(&identity, &roots)?;
        let revoked = verified_revocations(&identity, &intermediates, now)?;
        let keys = Self { identity, roots, intermediates, revoked, delta: None };
        let list_signer = keys.identity.revocations.payload.signer;
        let is_current = keys.intermediate_at(&list_signer, now).is_some() && keys.statement_holds(now);
        if is_current { Ok(keys) } else { Err(Reject::Unauthenticated) }
    }

    /// Whether `newer` may take this one's place: same domain, and no serial went back; with the same serial, the
    /// same content. Nothing of it rests on what is known to be revoked: whoever holds such a root's key could else sign
    /// a newer statement that takes that back.
    #[must_use]
    pub fn accepts_successor(&self, newer: &Self) -> bool {
        let (ours, theirs) = (&self.identity.statement.payload, &newer.identity.statement.payload);
        let is_statement_newer = theirs.serial > ours.serial
            || theirs.serial == ours.serial
                && theirs.intermediates == ours.intermediates
                && theirs.revoked == ours.revoked;
        let (ours, theirs) = (self.revocation_serial(), newer.revocation_serial());
        let is_list_newer =
            theirs > ours || theirs == ours && self.has_all(newer.listed()) && newer.has_all(self.listed());
        let rests_on_revoked =
            newer.authorities().any(|it| self.identity.statement.payload.revoked.contains(it));
        self.domain() == newer.domain() && is_statement_newer && is_list_newer && !rests_on_revoked
    }

    /// What the statement rests on and lists as valid: roots, its signer among them, and intermediates.
    pub fn authorities(&self) -> impl Iterator<Item = &Fingerprint> {
        self.roots.keys().chain(&self.identity.statement.payload.intermediates[..])
    }

    /// These keys with what was revoked since: the same authority, and a list that leads on from the one that is
    /// known, or is whole and newer.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where it is not signed, or does not lead on; where the authority is another, all
    /// of it must be asked for.
    pub fn updated_with(
        &self,
        statement: &AuthorityStatement,
        delta: RevocationDelta,
        now: Timestamp,
    ) -> Result<Self, Reject> {
        let known = self.revocation_serial();
        let RevocationDeltaTbs { since, serial, .. } = delta.payload;
        let leads_on = since == known && (serial > known || delta.payload.entries.is_empty());
        let is_whole = since == 0 && serial > known;
        if *statement != self.identity.statement || !(leads_on && serial >= known || is_whole) {
            return Err(Reject::Unauthenticated);
        }
        delta.verify(self, now)?;
        let mut revoked = if is_whole { BTreeMap::new() } else { self.revoked.clone() };
        revoked.extend(by_credential(&delta.payload.entries));
        Ok(Self { revoked, delta: Some(delta.payload), ..self.clone() })
    }

    /// The serial of the list of revoked clients, with what came to it since it was published.
    #[must_use]
    pub fn revocation_serial(&self) -> u64 {
        self.delta.as_ref().map_or(self.identity.revocations.payload.serial, |delta| delta.serial)
    }

    /// Whose AS it is.
    #[must_use]
    pub const fn domain(&self) -> &Fqdn {
        &self.identity.statement.payload.as_domain
    }

    /// What was published.
    #[must_use]
    pub const fn identity(&self) -> &AsIdentity {
        &self.identity
    }

    /// The first moment at which these keys are worth nothing any more, unless newer ones come.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        let (statement, list) = (&self.identity.statement.payload, &self.identity.revocations.payload);
        let list_expires = self.delta.as_ref().map_or(list.expires, |delta| delta.expires);
        Timestamp::from_secs(statement.expires.min(list_expires).saturating_add(1))
    }

    /// The intermediate that is valid at a time, and so is its root.
    #[must_use]
    pub fn intermediate_at(
        &self,
        fingerprint: &Fingerprint,
        at: Timestamp,
    ) -> Option<&AsIntermediateCredential> {
        let intermediate = self.intermediates.get(fingerprint)?;
        let root = self.roots.get(&intermediate.payload.signer)?;
        let is_valid = intermediate.payload.validity.contains(at) && root.payload.validity.contains(at);
        (is_valid && at < self.expires()).then_some(intermediate)
    }

    /// The intermediates that are valid at a time, the one that is valid longest first, and of those that end
    /// together the newest: for a CSR.
    #[must_use]
    pub fn intermediates_at(&self, at: Timestamp) -> Vec<&AsIntermediateCredential> {
        let mut valid: Vec<_> = self
            .intermediates
            .keys()
            .filter_map(|fingerprint| self.intermediate_at(fingerprint, at))
            .collect();
        valid.sort_by_key(|intermediate| {
            let ExpirationData { not_before, not_after } = intermediate.payload.validity;
            Reverse((not_after, not_before))
        });
        valid
    }

    /// The intermediate's key that a frame of the AS names (02, sender `homeserver`), if it is valid.
    #[must_use]
    pub fn service_key(&self, id: &KeyId, at: Timestamp) -> Option<&VerifyingKey> {
        let keys = self.intermediates_at(at).into_iter().map(|intermediate| &intermediate.payload.key);
        keys.into_iter().find(|key| KeyId::of(*key) == *id)
    }

    /// Verifies what an intermediate signed, as of `at`.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where the intermediate is not valid then, or did not sign it.
    pub fn verify_signed(
        &self,
        signer: &Fingerprint,
        (label, content): (&str, &[u8]),
        signature: &Signature,
        at: Timestamp,
    ) -> Result<(), Reject> {
        let intermediate = self.intermediate_at(signer, at).ok_or(Reject::Unauthenticated)?;
        intermediate.payload.key.verify(label, content, signature)
    }

    /// Whether a client's credential is void at a time.
    #[must_use]
    pub fn is_revoked(&self, client: &Fingerprint, at: Timestamp) -> bool {
        self.revoked.get(client).is_some_and(|since| *since <= at.as_secs())
    }

    /// What the present serial lists for sure: of what it listed when an earlier one was published, some may have left.
    fn listed(&self) -> &[RevocationEntry] {
        let published = &self.identity.revocations.payload.entries;
        self.delta.as_ref().map_or(published, |delta| &delta.entries)
    }

    fn has_all(&self, entries: &[RevocationEntry]) -> bool {
        entries.iter().all(|entry| self.revoked.get(&entry.credential) == Some(&entry.revoked_at))
    }

    /// Whether the statement has not expired, and its signer is valid.
    fn statement_holds(&self, now: Timestamp) -> bool {
        let statement = &self.identity.statement.payload;
        let signer = self.roots.get(&statement.signer);
        now.as_secs() <= statement.expires && signer.is_some_and(|root| root.payload.validity.contains(now))
    }
}

/// The roots that are not revoked, where the statement is signed by one of them.
fn verified_roots(
    identity: &AsIdentity,
    domain: &Fqdn,
) -> Result<BTreeMap<Fingerprint, AsCredential>, Reject> {
    let statement = &identity.statement;
    let mut roots = BTreeMap::new();
    for root in &identity.roots {
        root.verify(domain)?;
        let fingerprint = root.fingerprint();
        if !statement.payload.revoked.contains(&fingerprint) {
            roots.insert(fingerprint, root.clone());
        }
    }
    let signer = roots.get(&statement.payload.signer).ok_or(Reject::Unauthenticated)?;
    statement.verify(signer)?;
    Ok(roots)
}

/// The intermediates of those roots that the statement lists and does not revoke.
fn verified_intermediates(
    identity: &AsIdentity,
    roots: &BTreeMap<Fingerprint, AsCredential>,
) -> Result<BTreeMap<Fingerprint, AsIntermediateCredential>, Reject> {
    let statement = &identity.statement.payload;
    let listed: BTreeSet<_> = statement.intermediates.iter().collect();
    let revoked: BTreeSet<_> = statement.revoked.iter().collect();
    let mut intermediates = BTreeMap::new();
    for intermediate in &identity.intermediates {
        let fingerprint = intermediate.fingerprint();
        let Some(root) = roots.get(&intermediate.payload.signer) else { continue };
        intermediate.verify(root)?;
        if listed.contains(&fingerprint) && !revoked.contains(&fingerprint) {
            intermediates.insert(fingerprint, intermediate.clone());
        }
    }
    Ok(intermediates)
}

/// When which client's credential became void.
fn verified_revocations(
    identity: &AsIdentity,
    intermediates: &BTreeMap<Fingerprint, AsIntermediateCredential>,
    now: Timestamp,
) -> Result<BTreeMap<Fingerprint, u64>, Reject> {
    let list = &identity.revocations;
    let signer = intermediates.get(&list.payload.signer).ok_or(Reject::Unauthenticated)?;
    list.verify(signer)?;
    if list.payload.expires < now.as_secs() {
        return Err(Reject::Unauthenticated);
    }
    Ok(by_credential(&list.payload.entries).collect())
}

fn by_credential(entries: &[RevocationEntry]) -> impl Iterator<Item = (Fingerprint, u64)> {
    entries.iter().map(|entry| (entry.credential, entry.revoked_at))
}
