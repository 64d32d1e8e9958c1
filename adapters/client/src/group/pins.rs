//! Keys that are pinned: another key is another client, whoever's it claims to be (03, "Out-of-band check").

use phoenix_core::{ClientId, Reject, UserId, crypto::VerifyingKey, wire::Flag};

use super::Trust;
use crate::{error::ClientError, event::Event, fingerprint::KeyFingerprint, session::Session};

impl Session {
    /// A user that we are connected with has the key that was pinned; another key is another client, and is told.
    pub(crate) fn check_pin(&mut self, user: &UserId, key: &VerifyingKey) -> Result<(), ClientError> {
        if self.is_pinned(user, key) {
            return Ok(());
        }
        self.tell_once(Event::KeyChanged { user: user.clone() });
        Err(Reject::Unauthenticated.into())
    }

    /// Whether a key is the one that is pinned, if one is.
    pub(super) fn is_pinned(&self, user: &UserId, key: &VerifyingKey) -> bool {
        let is_theirs = |known: &VerifyingKey| known == key;
        let friend = self.state.friends.get(user);
        friend.is_none_or(|friend| friend.key == *key || friend.further.values().any(is_theirs))
    }

    /// Keeps another key than the pinned one of a user, for [`Session::accept_key`].
    pub(crate) fn note_shown(&mut self, client: &ClientId, key: &VerifyingKey) {
        if let Some(friend) = self.state.friends.get_mut(&client.user)
            && friend.key != *key
            && friend.further.get(&client.client) != Some(key)
        {
            friend.shown = Some((client.clone(), key.clone()));
        }
    }

    /// Pins the other key that a user showed last, if it is the one that the user read out.
    pub(crate) fn accept_key(
        &mut self,
        user: &UserId,
        fingerprint: &KeyFingerprint,
    ) -> Result<(), ClientError> {
        let friend = self.state.friends.get_mut(user).ok_or(ClientError::State("not connected"))?;
        let is_it =
            |(client, key): &(ClientId, VerifyingKey)| KeyFingerprint::of(client, key) == *fingerprint;
        let shown = friend.shown.clone().filter(is_it).ok_or(Reject::Unauthenticated)?;
        (friend.key, friend.shown, friend.is_revoked) = (shown.1, None, Flag::No);
        self.check_faces(user);
        Ok(())
    }

    /// Ends a connection on our side: nothing of its group is read any more, and no key is pinned.
    pub(crate) fn disconnect(&mut self, user: &UserId) -> Result<(), ClientError> {
        let friend = self.state.friends.remove(user).ok_or(ClientError::State("not connected"))?;
        self.forget(&friend.group);
        self.check_faces(user);
        Ok(())
    }

    /// What is pinned of a user has changed: its leaves are judged by that.
    pub(crate) fn check_faces(&mut self, user: &UserId) {
        let friend = self.state.friends.get(user);
        let pinned = friend.map(|it| it.further.values().chain([&it.key]).cloned().collect::<Vec<_>>());
        let mut news = Vec::new();
        for (group, record) in self.state.groups.iter_mut() {
            for (leaf, member) in record.members.iter_mut() {
                let Some(face) = record.faces.get(&member.face) else { continue };
                let is_pinned = pinned.as_ref().is_none_or(|keys| keys.contains(&face.key));
                if face.client.user != *user || is_pinned == (member.trust != Trust::KeyChanged) {
                    continue;
                }
                if is_pinned {
                    // To be verified as if it were new.
                    member.trust = Trust::Unknown;
                } else if member.trust.is_proof() {
                    (member.trust, member.proven) = (Trust::KeyChanged, None);
                    news.push((group.clone(), *leaf, face.client.clone()));
                }
            }
        }
        for (group, leaf, client) in news {
            self.tell(Event::MemberKeyChanged { group, leaf, client });
        }
    }

    /// Another client of our own user: it is told once, unless it was compared.
    pub(crate) fn meet_own(&mut self, client: &ClientId) {
        let is_known = *client == *self.client() || self.state.own_clients.contains_key(&client.client);
        if !is_known {
            self.state.own_clients.insert(client.client, None);
            self.tell(Event::OwnClient { client: client.client });
        }
    }
}
