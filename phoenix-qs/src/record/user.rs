//! A user, as the QS knows one.

use phoenix_core::{
    QsClientId, QsUserId, Reject, Timestamp,
    api::queue::{FormerTokens, MAX_QS_CLIENTS},
    crypto::{AtRestKey, VerifyingKey},
    time::{DAY, Month},
    wire::{List, Secret},
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{callers::Signs, friendship, kinds::end_of_use};

/// A user record.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct UserRecord {
    /// Signs for the record.
    pub(crate) auth_key: VerifyingKey,
    /// Keyed hash of the friendship secret.
    friendship: [u8; 32],
    /// Those of former secrets that are still good, oldest first.
    former: List<FormerSecret, MAX_FORMER>,
    /// The user's clients; also some that have expired since.
    pub(crate) clients: List<QsClientId, MAX_QS_CLIENTS>,
    /// The last month in which one of them read its queue.
    pub(crate) active: Month,
}

/// A friendship secret that was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct FormerSecret {
    /// Its keyed hash.
    friendship: [u8; 32],
    /// When it ends, in seconds: with a day, since a finer time would stay here for up to a month (09).
    until: u64,
}

impl UserRecord {
    /// A user with its first client.
    ///
    /// # Errors
    /// None: one client is not too many.
    pub(crate) fn new(
        auth_key: VerifyingKey,
        friendship: [u8; 32],
        client: QsClientId,
        now: Timestamp,
    ) -> Result<Self, Reject> {
        let (clients, former) = (List::new(vec![client])?, List::default());
        Ok(Self { auth_key, friendship, former, clients, active: Month::of(now) })
    }

    /// The record, unless its time is over though nobody has swept it away yet.
    pub(crate) fn current(self, now: Timestamp) -> Option<Self> {
        Some(self.pruned(now)).filter(|record| now < end_of_use(record.active))
    }

    /// Whether a friendship token with this secret opens the record: the current one, or one in its grace.
    pub(crate) fn is_opened_by(
        &self,
        key: &AtRestKey,
        id: &QsUserId,
        secret: &Secret<32>,
        now: Timestamp,
    ) -> bool {
        let former = self.former.iter().filter(|it| it.is_good(now)).map(|it| it.friendship);
        let kept = std::iter::once(self.friendship).chain(former);
        // Each is compared, so that the time does not tell which it was.
        kept.fold(false, |found, kept| friendship::is_of(key, id, secret, kept) | found)
    }

    /// The record with a new friendship secret, if there is one; the former ones are revoked, or the last one is good
    /// for another day, and the rest of that.
    pub(crate) fn rotated(self, secret: Option<[u8; 32]>, former: FormerTokens, now: Timestamp) -> Self {
        let record = self.pruned(now);
        let mut kept = match former {
            FormerTokens::Revoked => Vec::new(),
            FormerTokens::Grace => record.former.to_vec(),
        };
        let Some(friendship) = secret else {
            return Self { former: List::new(kept).unwrap_or_default(), ..record };
        };
        if former == FormerTokens::Grace {
            let until = now.as_secs().saturating_add(GRACE_S).div_ceil(DAY).saturating_mul(DAY);
            kept.push(FormerSecret { friendship: record.friendship, until });
        }
        if kept.len() > MAX_FORMER {
            kept.remove(0);
        }
        Self { friendship, former: List::new(kept).unwrap_or_default(), ..record }
    }

    /// Until when a former secret is good, in seconds.
    pub(crate) fn former_until(&self, now: Timestamp) -> Option<u64> {
        self.former.iter().filter(|it| it.is_good(now)).map(|it| it.until).max()
    }

    /// The record of a month in which a client read its queue.
    pub(crate) fn renewed(self, now: Timestamp) -> Self {
        let active = self.active.max(Month::of(now));
        Self { active, ..self.pruned(now) }
    }

    /// Without former secrets that have ended.
    fn pruned(self, now: Timestamp) -> Self {
        let former = self.former.iter().filter(|it| it.is_good(now)).copied().collect();
        // It has only become shorter.
        Self { former: List::new(former).unwrap_or_default(), ..self }
    }
}

impl FormerSecret {
    const fn is_good(&self, now: Timestamp) -> bool {
        now.as_secs() < self.until
    }
}

impl Signs for UserRecord {
    fn auth_key(&self) -> &VerifyingKey {
        &self.auth_key
    }
}

/// How long a former friendship secret is good at least, in seconds (06).
const GRACE_S: u64 = DAY;
/// Former secrets that are good at a time: whoever changes them more often within a day ends the oldest.
const MAX_FORMER: usize = 4;
