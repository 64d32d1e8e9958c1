//! What is remembered of the documents of a homeserver when they are forgotten themselves.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::PublishedKeys;
use crate::{Fingerprint, credential::MAX_AUTHORITIES, wire::List};

/// How far an AS's documents have come: none that comes later may be behind that (08, "Published keys").
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Latest {
    /// The serial of the authority statement.
    statement: u64,
    /// The serial of the list of revoked clients.
    revocations: u64,
    /// The serial of the token key list.
    tokens: u64,
    /// What the statement takes back: nothing that comes later may rest on it.
    revoked: List<Fingerprint, MAX_AUTHORITIES>,
}

impl Latest {
    /// How far these keys have come; none where nothing of them has a serial.
    pub(crate) fn of(keys: &PublishedKeys) -> Option<Self> {
        let PublishedKeys::As(keys, tokens) = keys else { return None };
        let statement = &keys.identity().statement.payload;
        Some(Self {
            statement: statement.serial,
            revocations: keys.revocation_serial(),
            tokens: tokens.list.serial,
            revoked: statement.revoked.clone(),
        })
    }

    /// Whether keys are not behind it.
    pub(crate) fn accepts(&self, newer: &PublishedKeys) -> bool {
        let PublishedKeys::As(keys, _) = newer else { return true };
        let rests_on_revoked = keys.authorities().any(|it| self.revoked.contains(it));
        !rests_on_revoked && Self::of(newer).is_some_and(|newer| !newer.is_behind(self))
    }

    /// The farther of both, serial by serial: replicas may have seen different documents.
    pub(crate) fn or(self, other: Self) -> Self {
        let revoked = if self.statement > other.statement { self.revoked } else { other.revoked };
        Self {
            statement: self.statement.max(other.statement),
            revocations: self.revocations.max(other.revocations),
            tokens: self.tokens.max(other.tokens),
            revoked,
        }
    }

    const fn is_behind(&self, known: &Self) -> bool {
        self.statement < known.statement || self.revocations < known.revocations || self.tokens < known.tokens
    }
}
