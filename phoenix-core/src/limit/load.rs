//! What a call puts on the limits.

use bytes::Bytes;

use super::Rate;

/// A limit that is kept in memory (05). What is counted under one never counts under another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// Calls without a token, for each source prefix.
    Tokenless,
    /// Calls with a token, for each source prefix.
    Token,
    /// Calls of other homeservers, for each source prefix.
    Homeserver,
    /// Messages, for each leaf of a group.
    LeafMessages,
    /// Everything else that goes to a whole group, for each leaf of it.
    LeafChanges,
    /// Messages and changes, for each group.
    Group,
    /// Microseconds of one destination's time, for each leaf of a group.
    LeafDestination,
    /// Microseconds of one destination's time that messages take, for each group.
    GroupDestination,
    /// Microseconds of one destination's time, for each of its mailboxes.
    Mailbox,
    /// Deliveries of one homeserver to one queue config.
    Config,
    /// Bytes that one homeserver delivers to one queue config.
    ConfigBytes,
    /// Deliveries of one homeserver to one queue.
    SourceQueueDeliveries,
    /// Bytes that one homeserver delivers to one queue.
    SourceQueueBytes,
    /// Deliveries of other homeservers to one queue.
    QueueDeliveries,
    /// Bytes that other homeservers deliver to one queue.
    QueueBytes,
    /// Deliveries of one homeserver.
    SourceDeliveries,
    /// Bytes that one homeserver delivers.
    SourceBytes,
    /// Pushes for messages through one queue config.
    Pushes,
}

impl Limit {
    /// All limits.
    pub const ALL: [Self; 18] = [
        Self::Tokenless,
        Self::Token,
        Self::Homeserver,
        Self::LeafMessages,
        Self::LeafChanges,
        Self::Group,
        Self::LeafDestination,
        Self::GroupDestination,
        Self::Mailbox,
        Self::Config,
        Self::ConfigBytes,
        Self::SourceQueueDeliveries,
        Self::SourceQueueBytes,
        Self::QueueDeliveries,
        Self::QueueBytes,
        Self::SourceDeliveries,
        Self::SourceBytes,
        Self::Pushes,
    ];

    /// Where it stands among all.
    pub(super) const fn place(self) -> usize {
        self as usize
    }
}

/// So much of what a limit counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The limit.
    pub limit: Limit,
    /// Whose; only a keyed hash of it is remembered.
    pub key: Bytes,
    /// How much.
    pub amount: u32,
    /// What is let through for this key, where that is not the limit's own rate.
    pub rate: Option<Rate>,
}

impl Load {
    /// So much of what a limit counts for a key.
    #[must_use]
    pub fn new(limit: Limit, key: impl Into<Bytes>, amount: u32) -> Self {
        Self { limit, key: key.into(), amount, rate: None }
    }

    /// The same at another rate than the limit's own, where there is one. A bucket that is over the full one of a new
    /// rate counts as empty.
    #[must_use]
    pub fn at(self, rate: Option<Rate>) -> Self {
        Self { rate, ..self }
    }
}

/// What a call puts on the limits. Where several would hold it back, the first one does: the narrowest comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Loads {
    /// Nothing.
    #[default]
    None,
    /// All of these, or the call is refused and none of them counts.
    All(Vec<Load>),
    /// For each part of the call all of its loads, or that part is held back and none of them counts. Deciding
    /// reads which ([`Authorised::held_back`](crate::operation::Authorised::held_back)).
    Each(Vec<Vec<Load>>),
}
