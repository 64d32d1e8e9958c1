//! The keys that sign DPoP tokens (05), and their rotation.

use bytes::Bytes;
use phoenix_core::{
    Timestamp,
    crypto::Chance,
    dpop::{DpopKey, DpopPublicKey, JwkSet, TOKEN_S},
    time::{DAY, HOUR},
    wire::List,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

/// The keys that sign, will sign or have signed tokens that are still good, oldest first.
#[derive(Clone, Debug, Default, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct DpopKeys(List<Timed, MAX_KEYS>);

/// A key, its first second, and the first after it.
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Timed {
    key: DpopKey,
    begins: u64,
    ends: u64,
}

impl DpopKeys {
    /// One fresh key, which signs at once.
    pub(crate) fn generate(now: Timestamp, chance: &mut Chance) -> Self {
        let none = Self::default();
        none.rotated(now, chance).unwrap_or(none)
    }

    /// The keys as they should be now, or none where they are so already: the next comes a day before it signs, so that
    /// whoever asks for the keys in time knows it, and each stays until what it signed has ended.
    pub(crate) fn rotated(&self, now: Timestamp, chance: &mut Chance) -> Option<Self> {
        let now = now.as_secs();
        let is_kept = |key: &&Timed| now < key.ends.saturating_add(KEPT_S);
        let mut keys: Vec<Timed> = self.0.iter().filter(is_kept).cloned().collect();
        let last = keys.iter().map(|key| key.ends).max().unwrap_or_default();
        let is_due = last < now.saturating_add(AHEAD_S);
        if !is_due && keys.len() == self.0.len() {
            return None;
        }
        if is_due {
            // Where none signs, an hour early, for replicas whose clocks are behind.
            let begins = if now < last { last } else { now.saturating_sub(HOUR) };
            let ends = begins.max(now).saturating_add(SIGNS_S);
            keys.push(Timed { key: DpopKey::generate(chance), begins, ends });
        }
        List::new(keys).ok().map(Self)
    }

    /// The key that signs now. None for some moments where the homeserver was away for days.
    pub(crate) fn signer(&self, now: Timestamp) -> Option<&DpopKey> {
        let now = now.as_secs();
        self.0.iter().find(|it| (it.begins..it.ends).contains(&now)).map(|it| &it.key)
    }

    /// All of them, as they are published.
    pub(crate) fn published(&self) -> Bytes {
        let keys: Vec<DpopPublicKey> = self.0.iter().map(|it| it.key.public()).collect();
        JwkSet::encode(&keys)
    }
}

/// How long a key signs, in seconds.
const SIGNS_S: u64 = 7 * DAY;
/// How long before that it is published.
const AHEAD_S: u64 = DAY;
/// How long after that it is published, and kept: as long as its last token, and a clock that is behind, may take.
const KEPT_S: u64 = TOKEN_S + HOUR;
/// One that signs, the next, and the last.
const MAX_KEYS: usize = 4;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use phoenix_core::{
        Timestamp,
        crypto::Chance,
        dpop::{JwkSet, TOKEN_S},
        time::{DAY, MINUTE},
    };

    use super::DpopKeys;

    #[test]
    fn at_each_moment_a_key_signs_that_was_published_a_day_before_and_stays_until_its_tokens_end() {
        let (start, mut chance) = (Timestamp::from_secs(1_700_000_000), Chance::from_seed([1; 32]));
        let mut keys = DpopKeys::generate(start, &mut chance);
        let mut published = vec![(start, keys.published())];
        let known = |published: &[(Timestamp, bytes::Bytes)], at: Timestamp, id: &str| {
            let (_, jwks) = published.iter().rev().find(|(since, _)| *since <= at).unwrap();
            JwkSet::decode(jwks).unwrap().find(id).is_some()
        };
        let mut signed = Vec::new();

        for minutes in 0..30 * DAY / MINUTE {
            let now = start.plus_secs(minutes * MINUTE);
            if let Some(rotated) = keys.rotated(now, &mut chance) {
                keys = rotated;
                published.push((now, keys.published()));
            }
            signed.push((now, id_of(&keys, now)));
        }

        for (at, id) in &signed {
            let before = Timestamp::from_secs(at.as_secs() - DAY + MINUTE);
            assert!(before < start || known(&published, before, id), "{at:?}");
            assert!(known(&published, at.plus_secs(TOKEN_S), id), "{at:?}");
        }
        let mut ids: Vec<_> = signed.into_iter().map(|(_, id)| id).collect();
        ids.dedup();
        assert_eq!(ids.len(), 5);
        assert!(keys.0.len() <= 2);
    }

    #[test]
    fn after_a_long_absence_a_new_key_signs_at_once_and_the_old_ones_are_gone() {
        let (start, mut chance) = (Timestamp::from_secs(1_700_000_000), Chance::from_seed([1; 32]));
        let keys = DpopKeys::generate(start, &mut chance);
        let later = start.plus_secs(40 * DAY);

        assert!(keys.signer(later).is_none());
        let rotated = keys.rotated(later, &mut chance).unwrap();

        assert!(rotated.signer(later).is_some());
        assert_eq!(rotated.0.len(), 1);
        assert!(rotated.rotated(later, &mut chance).is_none());
    }

    fn id_of(keys: &DpopKeys, now: Timestamp) -> String {
        let thumbprint = *keys.signer(now).unwrap().public().thumbprint();
        base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, thumbprint)
    }
}
