//! How token keys come and go (05, "Rotation").

use super::{Class, TokenKey, TokenKeys, TokenSecretKey, TokenType};
use crate::{Fqdn, Timestamp, crypto::Chance, time::DAY, wire::List};

/// How token keys come and go, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// How long a key issues.
    pub period: u64,
    /// How long its tokens can be spent after that.
    pub grace: u64,
    /// How long before it issues a key is published.
    pub ahead: u64,
}

impl TokenKeys {
    /// The first keys of a homeserver: one of each class and type that issues now, and the next where its time has
    /// come.
    #[must_use]
    pub fn generate(domain: Fqdn, now: Timestamp, rotation: &Rotation, chance: &mut Chance) -> Self {
        let empty = Self { domain, serial: 0, keys: List::default() };
        empty.rotated(now, rotation, chance).unwrap_or(empty)
    }

    /// The keys as they should be now: ended ones gone, and for each class and type one that issues and one in time
    /// before it ends. `None` where these are so already.
    #[must_use]
    pub fn rotated(&self, now: Timestamp, rotation: &Rotation, chance: &mut Chance) -> Option<Self> {
        let mut keys: Vec<_> = self.keys.iter().filter(|key| key.redeems_at(now)).cloned().collect();
        let mut has_changed = keys.len() < self.keys.len();
        for (class, token_type) in kinds() {
            let last = last(&keys, class, token_type);
            let Some(not_before) = rotation.next(last, now.as_secs()) else { continue };
            let secret = fresh(token_type, &keys, chance);
            keys.push(rotation.key(class, secret, not_before));
            has_changed = true;
        }
        let keys = List::new(keys).ok()?;
        let serial = self.serial.saturating_add(1);
        has_changed.then(|| Self { domain: self.domain.clone(), serial, keys })
    }

    /// New keys of all classes in place of all that are known, since it was forgotten which of their tokens were spent
    /// (09, "Restore"). The list's serial leaves out what it may have come to since.
    #[must_use]
    pub fn retired(&self, jump: u64, now: Timestamp, rotation: &Rotation, chance: &mut Chance) -> Self {
        let empty = Self {
            domain: self.domain.clone(),
            serial: self.serial.saturating_add(jump),
            keys: List::default(),
        };
        empty.rotated(now, rotation, chance).unwrap_or(empty)
    }

    /// When [`TokenKeys::rotated`] will have something to do.
    #[must_use]
    pub fn rotates_at(&self, rotation: &Rotation) -> Timestamp {
        let ends = kinds().map(|(class, token_type)| last(&self.keys, class, token_type).unwrap_or(0));
        Timestamp::from_secs(ends.min().unwrap_or(0).saturating_sub(rotation.ahead))
    }
}

impl Rotation {
    /// When the key begins that is lacking after `last`, if one is: where that one ends, or now.
    fn next(&self, last: Option<u64>, now: u64) -> Option<u64> {
        let last = last.filter(|last| *last >= now);
        if last.is_some_and(|last| last > now.saturating_add(self.ahead)) {
            return None;
        }
        Some(last.map_or(now, |last| last.saturating_add(1)))
    }

    fn key(&self, class: Class, secret: TokenSecretKey, not_before: u64) -> TokenKey {
        let not_after = not_before.saturating_add(self.period).saturating_sub(1);
        let redeem_until = not_after.saturating_add(self.grace);
        TokenKey { class, secret, not_before, not_after, redeem_until }
    }
}

impl Default for Rotation {
    /// New keys every 7 d, spent for 2 d more, published 24 h ahead (05).
    fn default() -> Self {
        Self { period: 7 * DAY, grace: 2 * DAY, ahead: DAY }
    }
}

/// All classes and types, of each of which there is a key.
fn kinds() -> impl Iterator<Item = (Class, TokenType)> {
    Class::ALL.into_iter().flat_map(|class| TokenType::ALL.map(|token_type| (class, token_type)))
}

/// The last second in which any of the keys of a class and type issues.
fn last(keys: &[TokenKey], class: Class, token_type: TokenType) -> Option<u64> {
    let of_kind = keys.iter().filter(|key| key.class == class && key.secret.token_type() == token_type);
    of_kind.map(|key| key.not_after).max()
}

/// A fresh key. A request names one of type 0x0001 by the last byte of its id, which therefore no other that is
/// known may have: it is drawn again then, which happens to one in ten.
fn fresh(token_type: TokenType, keys: &[TokenKey], chance: &mut Chance) -> TokenSecretKey {
    loop {
        let secret = TokenSecretKey::generate(token_type, chance);
        let [.., last] = *secret.key_id();
        if token_type != TokenType::P384 || keys.iter().all(|key| key.truncated() != Some(last)) {
            return secret;
        }
    }
}
