//! A client, as the QS knows one.

use phoenix_core::{
    QsUserId, Reject, Timestamp,
    api::queue::{ConfigRule, NewClientKey, QueueConfigTbs},
    crypto::VerifyingKey,
    time::Month,
    wire::List,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{callers::Signs, kinds::end_of_use};

/// A client record.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct ClientRecord {
    /// Whose client it is.
    pub(crate) user: QsUserId,
    /// Signs for the client, and its queue configs.
    pub(crate) auth_key: VerifyingKey,
    /// Keys that still vouch for queue configs.
    former_keys: List<FormerKey, MAX_FORMER_KEYS>,
    /// Queue configs of an earlier generation are void.
    pub(crate) min_generation: u32,
    /// The last month in which the client read its queue.
    pub(crate) active: Month,
}

/// A key that was replaced.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct FormerKey {
    key: VerifyingKey,
    /// It vouches for queue configs of earlier generations than this one.
    below: u32,
}

/// What becomes of messages through a queue config, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct RuleRecord {
    /// What becomes of them.
    pub(crate) rule: ConfigRule,
    /// The last month in which that holds.
    pub(crate) expires: Month,
}

impl ClientRecord {
    /// A client that has just been made.
    pub(crate) fn new(user: QsUserId, auth_key: VerifyingKey, now: Timestamp) -> Self {
        Self { user, auth_key, former_keys: List::default(), min_generation: 0, active: Month::of(now) }
    }

    /// The record, unless its time is over though nobody has swept it away yet.
    pub(crate) fn current(self, now: Timestamp) -> Option<Self> {
        Some(self).filter(|record| now < end_of_use(record.active))
    }

    /// Keys that may have signed a queue config.
    pub(crate) fn keys_for(&self, config: &QueueConfigTbs) -> impl Iterator<Item = &VerifyingKey> {
        let generation = config.generation;
        let is_void = generation < self.min_generation;
        let former = self.former_keys.iter().filter(move |it| generation < it.below).map(|it| &it.key);
        std::iter::once(&self.auth_key).chain(former).filter(move |_| !is_void)
    }

    /// The record with another auth key; the one before vouches for what it has signed until `min_generation` has
    /// passed that.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] where too many former keys still vouch for something.
    pub(crate) fn with_key(self, new: &NewClientKey) -> Result<Self, Reject> {
        let Self { auth_key, former_keys, min_generation, .. } = &self;
        let last = FormerKey { key: auth_key.clone(), below: new.from_generation };
        let mut former: Vec<_> = former_keys.iter().cloned().chain([last]).collect();
        former.retain(|it| it.below > *min_generation);
        let former_keys = List::new(former).map_err(|_| Reject::TooLarge("former_keys"))?;
        Ok(Self { auth_key: new.key.clone(), former_keys, ..self })
    }

    /// The record in which all queue configs of earlier generations are void.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where later ones were void already.
    pub(crate) fn with_generation(self, min_generation: u32) -> Result<Self, Reject> {
        if min_generation < self.min_generation {
            return Err(Reject::Malformed("min_generation"));
        }
        let former = self.former_keys.iter().filter(|it| it.below > min_generation).cloned().collect();
        // It has only become shorter.
        Ok(Self { former_keys: List::new(former).unwrap_or_default(), min_generation, ..self })
    }
}

impl Signs for ClientRecord {
    fn auth_key(&self) -> &VerifyingKey {
        &self.auth_key
    }
}

impl RuleRecord {
    /// Whether it still holds.
    pub(crate) fn holds(&self, now: Timestamp) -> bool {
        Month::of(now) <= self.expires
    }
}

/// Auth keys that a client may change within the life of its queue configs: a year at one a month, and some.
const MAX_FORMER_KEYS: usize = 16;
/// Queue configs of one client with a rule: the configs of its groups, and those that it has replaced within a year.
pub(crate) const MAX_RULES: usize = 4_096;
