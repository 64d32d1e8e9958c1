//! How the homeservers of a world are set: as in earnest, but for limits that a run would never reach, and pauses
//! that would make it long.

use phoenix_core::{
    limit::{Limits, Rate},
    queue::{QueuePolicy, RatchetPolicy},
};
use phoenix_homeserver::{
    auth::{self, RegistrationPolicy},
    queue,
};

/// The AS gives out as many tokens as a run can need.
pub(crate) fn auth() -> auth::Settings {
    let mut settings = auth::Settings::default();
    settings.allowances.standard = PLENTY;
    settings.allowances.home = PLENTY;
    settings.allowances.contact = PLENTY;
    settings.remote.floor = u64::from(PLENTY);
    // Nobody need be invited, but anyone may be.
    settings.registration.policy = RegistrationPolicy::open().or(RegistrationPolicy::invitation());
    settings.registration.clients_invite = true;
    settings.lookups = true;
    settings
}

/// Queues get fresh secrets often, and homeservers look soon whether another is back.
pub(crate) fn queue() -> queue::Settings {
    let ratchet = RatchetPolicy { entries: RATCHET_ENTRIES, ..RatchetPolicy::DEFAULT };
    queue::Settings {
        queue: QueuePolicy { ratchet, ..QueuePolicy::QS },
        max_pause_s: MAX_PAUSE_S,
        ..queue::Settings::default()
    }
}

/// The same, where homeservers look seldom where another is away for days.
pub(crate) fn queue_of(is_patient: bool) -> queue::Settings {
    let max_pause_s = if is_patient { queue::Settings::default().max_pause_s } else { MAX_PAUSE_S };
    queue::Settings { max_pause_s, ..queue() }
}

/// What homeservers take of one source: more than honest ones send, and less than one that floods.
pub(crate) fn limits() -> Limits {
    Limits { homeserver: Some(Rate::new(20, 200)), ..Limits::default() }
}

const PLENTY: u32 = 10_000;
/// A run sees several updates of each ratchet.
const RATCHET_ENTRIES: u32 = 7;
const MAX_PAUSE_S: u64 = 20;
