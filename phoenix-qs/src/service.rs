//! The service as a type, and what its operator may change.

use phoenix_core::{
    api::ServiceName,
    operation::{OnAlarm, Service},
    port::Space,
    queue::QueuePolicy,
};

use crate::{
    keys::QueueKeys,
    kinds::{LATER, MAILBOX},
};

/// The queuing service.
pub struct QueueService;

impl Service for QueueService {
    const NAME: ServiceName = ServiceName::Qs;
    const SPACE: Space = Space::Qs;
    type Keys = QueueKeys;
    type Settings = QueueSettings;

    fn on_alarm(kind: u8) -> OnAlarm {
        if matches!(kind, MAILBOX | LATER) { OnAlarm::Tick } else { OnAlarm::Drop }
    }
}

/// What an operator may change.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// How long queues may be, and when fresh secrets come into their ratchets.
    pub queue: QueuePolicy,
    /// Seconds for which a mailbox is left alone after a transaction left: longer than the transport waits for
    /// its answer, so that no lane is in two transactions.
    pub in_flight_s: u64,
    /// Longest pause between two attempts to reach a homeserver, in seconds.
    pub max_pause_s: u64,
    /// Seconds after which a message for a homeserver that does not take it is given up.
    pub give_up_s: u64,
    /// Seconds after which a source may try again where the key of a queue config is not known.
    pub unknown_key_retry_s: u32,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            queue: QueuePolicy::QS,
            in_flight_s: 90,
            max_pause_s: 300,
            give_up_s: 7 * phoenix_core::time::DAY,
            unknown_key_retry_s: 60,
        }
    }
}
