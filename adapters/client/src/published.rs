//! What is remembered of what ASs published, so that nothing of it goes back (03, "Revocation and rotation").

use std::collections::BTreeSet;

use phoenix_core::{
    Fingerprint, Fqdn,
    credential::{AsIdentity, AsKeys, MAX_AUTHORITIES},
    crypto::sha256,
    wire::{List, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::session::Session;

/// What an AS published last: enough to tell what leads on from it, and small, since strangers make us ask for it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Published {
    /// Serial of the statement.
    pub(crate) statement: u64,
    /// SHA-256 of what it lists and revokes.
    authorities: [u8; 32],
    revoked: List<Fingerprint, MAX_AUTHORITIES>,
    /// Serial of the list of revoked clients.
    pub(crate) list: u64,
    /// SHA-256 of its entries.
    entries: [u8; 32],
}

impl Published {
    pub(crate) fn of(identity: &AsIdentity) -> Self {
        let (statement, list) = (&identity.statement.payload, &identity.revocations.payload);
        Self {
            statement: statement.serial,
            authorities: sha256(&[statement.intermediates.encode(), statement.revoked.encode()].concat()),
            revoked: statement.revoked.clone(),
            list: list.serial,
            entries: sha256(&list.entries.encode()),
        }
    }

    /// Whether keys may take this one's place, as [`AsKeys::accepts_successor`] has it: no serial goes back, nothing
    /// changes without one, and nothing rests on what was revoked.
    pub(crate) fn accepts(&self, newer: &AsKeys) -> bool {
        let next = Self::of(newer.identity());
        let is_statement = next.statement > self.statement
            || next.statement == self.statement && next.authorities == self.authorities;
        let is_list = next.list > self.list || next.list == self.list && next.entries == self.entries;
        is_statement && is_list && !newer.authorities().any(|it| self.revoked.contains(it))
    }

    /// Whether two clients that were shown these were shown one authority. Of the lists, one may be newer.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        let is_statement = self.statement == other.statement && self.authorities == other.authorities;
        is_statement && (self.list != other.list || self.entries == other.entries)
    }
}

impl Session {
    /// Forgets what domains published that nobody is of whom we know, once there are many: strangers name them.
    pub(crate) fn forget_authorities(&mut self, but: &Fqdn) {
        if self.state.authorities.len() > MAX_STRANGE {
            let mut concerned = self.concerned_domains();
            concerned.insert(but.clone());
            self.state.authorities.retain(|domain, _| concerned.contains(domain));
        }
        while self.authorities.len() > MAX_CACHED {
            let others = self.authorities.iter().filter(|(domain, _)| *domain != but);
            let oldest = others.min_by_key(|(_, known)| known.fetched).map(|(domain, _)| domain.clone());
            let Some(oldest) = oldest else { return };
            self.authorities.remove(&oldest);
        }
    }

    /// Domains of our own, of friends, of members of our groups, of offers, and those that we have tokens of.
    pub(crate) fn concerned_domains(&self) -> BTreeSet<Fqdn> {
        let state = &self.state;
        let mut domains: BTreeSet<_> = state.friends.keys().map(|user| user.domain.clone()).collect();
        let faces = state.groups.values().flat_map(|record| record.faces.values());
        domains.extend(faces.map(|face| face.client.user.domain.clone()));
        domains.extend(
            state.offers.values().map(|it| it.offer.payload.credential.payload.client.user.domain.clone()),
        );
        domains.extend(state.token_keys.keys().cloned());
        domains.insert(self.domain().clone());
        domains
    }
}

/// Domains of which it is remembered what they published, before those of strangers are forgotten.
const MAX_STRANGE: usize = 256;
/// Domains whose keys are at hand: a list of revoked clients may have 655 KB.
const MAX_CACHED: usize = 32;
