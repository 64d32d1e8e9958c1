//! What follows where a client is revoked (03, "Revocation and rotation").

use std::collections::BTreeMap;

use phoenix_core::{
    ClientId, Fingerprint, UserId,
    credential::{AsKeys, RevocationEntry, VerifiedClientCredential},
    crypto::{VerifyingKey, sha256},
    wire::{Flag, Wire},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    event::Event,
    group::{Face, Trust},
    session::Session,
};

/// Whose a credential was that verified.
#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Seen {
    holder: [u8; 32],
    /// Its last second.
    not_after: u64,
}

impl Session {
    /// A chain verified. A client has several credentials one after the other, and those that are revoked with it are
    /// only the ones that have not ended: so whose they were is remembered.
    pub(crate) fn note_credential(&mut self, verified: &VerifiedClientCredential) {
        let (client, key, credential) = (verified.client(), verified.key(), verified.fingerprint());
        if let Some(friend) = self.state.friends.get_mut(&client.user)
            && friend.key == *key
        {
            friend.credential = credential;
        }
        let now = self.now().as_secs();
        let seen = &mut self.state.seen;
        if seen.len() >= MAX_SEEN {
            seen.retain(|_, it| now <= it.not_after);
        }
        if seen.len() >= MAX_SEEN {
            seen.pop_first();
        }
        let not_after = verified.credential().payload.validity.not_after;
        seen.insert(credential, Seen { holder: holder(client, key), not_after });
    }

    /// Since when a client is revoked, by any of its credentials that we know of.
    pub(crate) fn revocation_of(&self, client: &ClientId, key: &VerifyingKey) -> Option<u64> {
        self.state.revoked.get(&holder(client, key)).copied()
    }

    /// Keys of an AS are new: whoever it has revoked, as far as we know them, is told, and not believed from then
    /// on.
    pub(crate) fn note_revocations(&mut self, keys: &AsKeys) {
        let entries = &keys.identity().revocations.payload.entries;
        let revoked: BTreeMap<_, _> = entries.iter().map(|it| (it.credential, it.revoked_at)).collect();
        if revoked.is_empty() {
            return;
        }
        for (credential, at) in &revoked {
            self.note_revocation(credential, *at);
        }
        let mut news: BTreeMap<[u8; 32], UserId> = BTreeMap::new();
        self.note_friends(&revoked, &mut news);
        self.note_members(&revoked, &mut news);
        let account = &self.state.account;
        if revoked.contains_key(&account.credential.fingerprint()) && !self.told_end {
            self.told_end = true;
            news.insert([0; 32], self.client().user.clone());
        }
        for user in news.into_values() {
            self.tell(Event::Revoked { user });
        }
    }

    /// Keeps it by the client: the entry leaves the list when its credential ends.
    pub(crate) fn note_revocation(&mut self, credential: &Fingerprint, at: u64) {
        let Some(seen) = self.state.seen.get(credential) else { return };
        let revoked = &mut self.state.revoked;
        if revoked.len() >= MAX_SEEN {
            let oldest = revoked.iter().min_by_key(|(_, at)| **at).map(|(holder, _)| *holder);
            oldest.and_then(|holder| revoked.remove(&holder));
        }
        let since = revoked.entry(seen.holder).or_insert(at);
        *since = at.min(*since);
    }

    fn note_friends(&mut self, revoked: &BTreeMap<Fingerprint, u64>, news: &mut BTreeMap<[u8; 32], UserId>) {
        let state = &mut self.state;
        for (user, friend) in state.friends.iter_mut() {
            let holder = state.seen.get(&friend.credential).map_or(friend.credential.0, |it| it.holder);
            let is_revoked = revoked.contains_key(&friend.credential) || state.revoked.contains_key(&holder);
            if is_revoked && !friend.is_revoked.is_set() {
                friend.is_revoked = Flag::Yes;
                news.insert(holder, user.clone());
            }
        }
    }

    fn note_members(&mut self, revoked: &BTreeMap<Fingerprint, u64>, news: &mut BTreeMap<[u8; 32], UserId>) {
        let own = self.client().clone();
        let state = &mut self.state;
        for record in state.groups.values_mut() {
            let faces = record.faces.iter_mut().filter(|(_, face)| face.client != own);
            for (name, face) in faces.filter(|(_, face)| face.revoked_at.is_none()) {
                let holder = holder_of(face);
                let by_client = state.revoked.get(&holder);
                let Some(at) = revoked.get(&face.credential).or(by_client) else { continue };
                face.revoked_at = Some(*at);
                news.insert(holder, face.client.user.clone());
                let members = record.members.values_mut().filter(|member| member.face == *name);
                members.for_each(|member| member.trust = member.trust.when_revoked());
            }
        }
    }
}

impl Trust {
    /// What was not shown before its credential was revoked is not shown afterwards.
    pub(crate) const fn when_revoked(self) -> Self {
        match self {
            Self::KeyChanged | Self::Unproven | Self::False => Self::False,
            Self::Unknown | Self::Verified | Self::Expired | Self::Revoked => Self::Revoked,
        }
    }
}

/// Since when a credential is void, if its AS says so.
pub(crate) fn revoked_at(keys: &AsKeys, credential: &Fingerprint) -> Option<u64> {
    let entries = &keys.identity().revocations.payload.entries;
    let entry: Option<&RevocationEntry> = entries.iter().find(|entry| entry.credential == *credential);
    entry.map(|entry| entry.revoked_at)
}

fn holder_of(face: &Face) -> [u8; 32] {
    holder(&face.client, &face.key)
}

/// Stands for a client and its key, which stays when its credential is renewed.
fn holder(client: &ClientId, key: &VerifyingKey) -> [u8; 32] {
    sha256(&[client.encode(), key.encode()].concat())
}

/// Credentials, and revoked clients, that are remembered at most.
const MAX_SEEN: usize = 4_096;
