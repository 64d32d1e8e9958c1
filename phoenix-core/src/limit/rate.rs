//! How much of something may come in which time.

use crate::api::federation::FederationLimits;

use super::Limit;

/// So much in a time in the long run, and so much at once after a pause: a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So much
    amount: u32,
    /// in so many seconds.
    seconds: u32,
    burst: u32,
}

impl Rate {
    /// At least one a second, and at least one at once. What counts for more than the burst counts for the burst, so
    /// that it comes through once nothing else is counted.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self::within(per_second, 1, burst)
    }

    /// So much an hour, all of it at once after an hour's pause; at least one.
    #[must_use]
    pub const fn hourly(per_hour: u32) -> Self {
        Self::within(per_hour, SECONDS_PER_HOUR, per_hour)
    }

    const fn within(amount: u32, seconds: u32, burst: u32) -> Self {
        let (amount, burst) = (if amount == 0 { 1 } else { amount }, if burst == 0 { 1 } else { burst });
        Self { amount, seconds, burst }
    }

    /// How much may come each second in the long run, rounded down.
    #[must_use]
    pub const fn per_second(self) -> u32 {
        match self.amount.checked_div(self.seconds) {
            Some(per_second) => per_second,
            None => self.amount,
        }
    }

    /// How much may come at once after a pause.
    #[must_use]
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// Nanoseconds in which so much may come, and at most those in which the burst may.
    pub(super) fn span(self, amount: u32) -> u64 {
        let nanos = NANOS_PER_S.saturating_mul(u64::from(self.seconds));
        let span = u64::from(amount.min(self.burst)).saturating_mul(nanos);
        span.checked_div(u64::from(self.amount)).unwrap_or(u64::MAX)
    }
}

/// What a homeserver counts as taking each second at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeastTaken {
    /// Deliveries. By default 400: then a leaf still says ten things a second to a member or two there.
    pub deliveries_per_s: u32,
    /// Bytes. By default 4 MiB: then a leaf says as much as a message of the largest size each second.
    pub bytes_per_s: u32,
}

impl LeastTaken {
    /// The default.
    pub const DEFAULT: Self = Self { deliveries_per_s: 400, bytes_per_s: 4 << 20 };
}

/// How much each limit lets through; none where it lets through everything. They are counted in this process's memory
/// alone: replicas count apart, and a restart begins anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls to endpoints without a token, for each source prefix. By default 100 a second and 2,000 at once: an
    /// office behind one address whose devices all wake up together, while one source has at most a few percent of a
    /// core for the signatures and password proofs that such calls cost.
    pub tokenless: Option<Rate>,
    /// Calls to endpoints that cost a token, for each source prefix. By default 200 a second and 4,000 at once: those
    /// have an allowance beside this.
    pub token: Option<Rate>,
    /// Calls of other homeservers, for each source prefix. By default 500 a second and 5,000 at once: a homeserver
    /// has four transactions of at least 20 ms under way (08), and some stand behind one address.
    pub homeserver: Option<Rate>,
    /// Messages, for each leaf of a group. By default 10 a second and 300 at once: nobody types faster, and what was
    /// written offline goes out in one go.
    pub leaf_messages: Option<Rate>,
    /// Other things that go to a whole group, commits most of all, for each leaf of it. By default 2 a second and 200
    /// at once: every member has to process them.
    pub leaf_changes: Option<Rate>,
    /// Messages and changes, for each group. By default 50 a second and 2,000 at once: the largest group's members
    /// can all say something at the same moment, twice.
    pub group: Option<Rate>,
    /// Microseconds of one destination's time that one leaf of a group may take: how long that homeserver is busy with
    /// what goes to it, by what it says that it takes (08). By default a sixteenth, and 1.5 s at once: half of what its
    /// group may, so that one member does not silence the others.
    pub leaf_destination: Option<Rate>,
    /// The same, that messages of one group may take. By default an eighth, and 3 s at once: half of what its mailbox
    /// may, so that those beside it go on.
    pub group_destination: Option<Rate>,
    /// The same, that one of the destination's four mailboxes may take. By default a quarter, and 6 s at once; a
    /// destination takes 25 s at once.
    pub mailbox: Option<Rate>,
    /// What a destination takes at least as far as [`leaf_destination`](Self::leaf_destination) and
    /// [`group_destination`](Self::group_destination) are concerned, whatever it says.
    pub least_taken: LeastTaken,
    /// Deliveries of one homeserver to one queue config, that is from one group to one member. By default 60 a second
    /// and 3,000 at once: above what a group can send, so that it bites for homeservers that do not limit theirs.
    pub config: Option<Rate>,
    /// Bytes that one homeserver delivers to one queue config. By default 256 KiB a second and 16 MiB at once: a quarter
    /// of what the queue takes of all, so that no group closes a member's queue for the others.
    pub config_bytes: Option<Rate>,
    /// Deliveries of one homeserver to one queue. By default 100 a second and 5,000 at once: half of what the queue
    /// takes of all, so that no homeserver closes it for the others.
    pub source_queue_deliveries: Option<Rate>,
    /// Bytes that one homeserver delivers to one queue. By default 512 KiB a second and 32 MiB at once: half, too.
    pub source_queue_bytes: Option<Rate>,
    /// Deliveries of all other homeservers to one queue. By default 200 a second and 10,000 at once: several groups
    /// at their limit.
    pub queue_deliveries: Option<Rate>,
    /// Bytes that all other homeservers deliver to one queue. By default 1 MiB a second and 64 MiB at once: a sixteenth
    /// of what a queue may hold.
    pub queue_bytes: Option<Rate>,
    /// Deliveries of one homeserver, each recipient counted. By default 2,000 a second and 50,000 at once; told to it,
    /// so that it can hold back its own users.
    pub source_deliveries: Option<Rate>,
    /// Bytes of the deliveries of one homeserver, counted as they are sent: once for all recipients. By default 16 MiB
    /// a second and 256 MiB at once; told to it, too.
    pub source_bytes: Option<Rate>,
    /// Pushes for messages that come through one queue config. By default 60 an hour (06), and 60 at once: so that what
    /// its members cannot even decrypt does not keep a device ringing. What is over it waits in the queue unpushed.
    pub pushes: Option<Rate>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tokenless: Some(Rate::new(100, 2_000)),
            token: Some(Rate::new(200, 4_000)),
            homeserver: Some(Rate::new(500, 5_000)),
            leaf_messages: Some(Rate::new(10, 300)),
            leaf_changes: Some(Rate::new(2, 200)),
            group: Some(Rate::new(50, 2_000)),
            leaf_destination: Some(Rate::new(62_500, 1_500_000)),
            group_destination: Some(Rate::new(125_000, 3_000_000)),
            mailbox: Some(Rate::new(250_000, 6_000_000)),
            least_taken: LeastTaken::DEFAULT,
            config: Some(Rate::new(60, 3_000)),
            config_bytes: Some(Rate::new(256 << 10, 16 << 20)),
            source_queue_deliveries: Some(Rate::new(100, 5_000)),
            source_queue_bytes: Some(Rate::new(512 << 10, 32 << 20)),
            queue_deliveries: Some(Rate::new(200, 10_000)),
            queue_bytes: Some(Rate::new(1 << 20, 64 << 20)),
            source_deliveries: Some(Rate::new(2_000, 50_000)),
            source_bytes: Some(Rate::new(16 << 20, 256 << 20)),
            pushes: Some(Rate::hourly(60)),
        }
    }
}

impl Limits {
    /// No limit at all: for measurements, and where something else in front limits.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self {
            tokenless: None,
            token: None,
            homeserver: None,
            leaf_messages: None,
            leaf_changes: None,
            group: None,
            leaf_destination: None,
            group_destination: None,
            mailbox: None,
            least_taken: LeastTaken::DEFAULT,
            config: None,
            config_bytes: None,
            source_queue_deliveries: None,
            source_queue_bytes: None,
            queue_deliveries: None,
            queue_bytes: None,
            source_deliveries: None,
            source_bytes: None,
            pushes: None,
        }
    }

    /// The rate of a limit.
    #[must_use]
    pub const fn of(&self, limit: Limit) -> Option<Rate> {
        match limit {
            Limit::Tokenless => self.tokenless,
            Limit::Token => self.token,
            Limit::Homeserver => self.homeserver,
            Limit::LeafMessages => self.leaf_messages,
            Limit::LeafChanges => self.leaf_changes,
            Limit::Group => self.group,
            Limit::LeafDestination => self.leaf_destination,
            Limit::GroupDestination => self.group_destination,
            Limit::Mailbox => self.mailbox,
            Limit::Config => self.config,
            Limit::ConfigBytes => self.config_bytes,
            Limit::SourceQueueDeliveries => self.source_queue_deliveries,
            Limit::SourceQueueBytes => self.source_queue_bytes,
            Limit::QueueDeliveries => self.queue_deliveries,
            Limit::QueueBytes => self.queue_bytes,
            Limit::SourceDeliveries => self.source_deliveries,
            Limit::SourceBytes => self.source_bytes,
            Limit::Pushes => self.pushes,
        }
    }

    /// What other homeservers are told of them (08).
    #[must_use]
    pub fn advertised(&self) -> FederationLimits {
        let told = |rate: Option<Rate>| rate.map_or(u32::MAX, Rate::per_second);
        FederationLimits {
            deliveries_per_s: told(self.source_deliveries),
            bytes_per_s: told(self.source_bytes),
            retry_after_s: 0,
        }
    }
}

pub(super) const NANOS_PER_S: u64 = 1_000_000_000;
const SECONDS_PER_HOUR: u32 = 3_600;
