//! What an embedder decides.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use phoenix_core::{
    Fqdn, Uuid,
    api::auth::InvitationCode,
    crypto::{Signer, Suite},
    token::Class,
};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};
use zeroize::Zeroizing;

/// How to register a user, or to log in as one.
#[derive(Clone)]
pub struct Settings {
    /// The user's homeserver.
    pub domain: Fqdn,
    /// The user's id; none for a random one. Who logs in must name it.
    pub user: Option<Uuid>,
    /// The password, known to the user only: the AS sees a blinded form of it (RFC 9807).
    pub password: Zeroizing<String>,
    /// Ciphersuite of the credential, of the queues, and of the groups that this client makes; it joins groups of
    /// either.
    pub suite: Suite,
    /// What stretching the password costs.
    pub stretch: Stretch,
    /// An invitation, where registration asks for one.
    pub invitation: Option<InvitationCode>,
    /// What the operator's own judge wants to see, where registration asks for it: a captcha's answer, an
    /// attestation.
    pub external: Option<Bytes>,
    /// The hardest work to do where a homeserver asks for any, in bits: 24 take some ten seconds of one core, and
    /// each one more twice as long. None is done for more.
    pub work_bits: u8,
    /// The client's signing key, where it lives in hardware; none for one in memory. Its suite must be `suite`.
    pub signer: Option<Arc<dyn Signer>>,
    /// How the client behaves once it is registered.
    pub habits: Habits,
}

impl Settings {
    /// A random user of a domain, with the default suite, costs and habits.
    #[must_use]
    pub fn new(domain: Fqdn, password: impl Into<String>) -> Self {
        Self {
            domain,
            user: None,
            password: Zeroizing::new(password.into()),
            suite: Suite::Ed25519,
            stretch: Stretch::default(),
            invitation: None,
            external: None,
            work_bits: 24,
            signer: None,
            habits: Habits::default(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("domain", &self.domain)
            .field("suite", &self.suite)
            .finish_non_exhaustive()
    }
}

/// Cost of Argon2id over the password (RFC 9106). The same is needed again to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Stretch {
    /// Memory, in KiB; at least 8.
    pub memory_kib: u32,
    /// Passes over it; at least 1.
    pub passes: u32,
}

impl Default for Stretch {
    /// 19 MiB and two passes: about 20 ms.
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2 }
    }
}

impl Stretch {
    /// As good as nothing, for tests.
    #[must_use]
    pub const fn least() -> Self {
        Self { memory_kib: 8, passes: 1 }
    }
}

/// How a client behaves. All clients of one program should behave alike: what differs tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// Tokens in one batch, by class; 1 to 100.
    pub batch: BatchSizes,
    /// AddPackages to keep published, of each suite; 1 to 50.
    pub add_packages: u8,
    /// Last-resort AddPackages to keep published, of each suite; 1 to 8.
    pub last_resort: u8,
    /// Connection packages to keep published; 1 to 100.
    pub connection_packages: u8,
    /// Days for which an offer stays open; at most 30.
    pub offer_days: u8,
    /// How often a call is tried when no answer comes, or the homeserver is unavailable.
    pub tries: u8,
    /// How often a commit is made anew when others are faster.
    pub commits: u8,
    /// First wait before a further try, in milliseconds; it doubles each time, up to `patience_ms`.
    pub first_wait_ms: u64,
    /// Longest wait before a further try, in milliseconds. A homeserver that asks for more is not tried again.
    pub patience_ms: u64,
    /// For how long at most [`Client::maintain`](crate::Client::maintain) puts off fetching tokens where few are
    /// left, in seconds; for how long, is drawn each time.
    pub jitter_s: u32,
    /// When a queue's entries are acknowledged.
    pub acknowledge: Acknowledge,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            batch: BatchSizes::default(),
            add_packages: 20,
            last_resort: 1,
            connection_packages: 5,
            offer_days: 30,
            tries: 6,
            commits: 16,
            first_wait_ms: 200,
            patience_ms: 10_000,
            jitter_s: 600,
            acknowledge: Acknowledge::Processed,
        }
    }
}

/// Tokens in one batch (05): the same size for everyone and each time, so that it tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSizes {
    /// [`Class::Standard`].
    pub standard: u8,
    /// [`Class::Home`].
    pub home: u8,
    /// [`Class::Contact`].
    pub contact: u8,
    /// [`Class::Alias`].
    pub alias: u8,
}

impl BatchSizes {
    /// The size of a class's batches, within 1 to 100.
    pub(crate) fn of(&self, class: Class) -> usize {
        let size = match class {
            Class::Standard => self.standard,
            Class::Home => self.home,
            Class::Contact => self.contact,
            Class::Alias => self.alias,
        };
        usize::from(size.clamp(1, 100))
    }
}

impl Default for BatchSizes {
    fn default() -> Self {
        Self { standard: 50, home: 10, contact: 10, alias: 1 }
    }
}

/// How fast groups are given other queue configs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// One group in each [`Client::maintain`](crate::Client::maintain), so that those who serve two groups do not see
    /// that they share a member; what was given out before is void eight days later at the earliest.
    Gradual,
    /// All groups at once, and what was given out before is void then: for a client whose keys may be known. Invitations
    /// that are on their way are lost.
    AtOnce,
}

/// When a queue's entries are acknowledged, and so deleted from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// With the next read after they were processed: for clients that live in memory.
    #[default]
    Processed,
    /// Only after the state that holds them was saved, or its export confirmed.
    Saved,
}
