//! What a client needs of its surroundings.

use std::{fmt, sync::Arc};

use phoenix_core::port::{Clock, Entropy, Transport};

/// The ports of one client. Time, randomness and the network enter through here and nowhere else, but for what
/// OpenMLS takes from the system by itself: the lifetime of added KeyPackages is checked against the system's
/// clock, and HPKE seals with the system's randomness.
#[derive(Clone)]
pub struct ClientPorts {
    /// Homeservers.
    pub transport: Arc<dyn Transport>,
    /// A second path to the same homeservers, which must not show them that it is the same client: over an
    /// anonymising network, or someone else's machine. By it,
    /// [`Client::check_token_keys`](crate::Client::check_token_keys) finds out who shows it other keys than everyone.
    pub witness: Option<Arc<dyn Transport>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl ClientPorts {
    /// 32 fresh random bytes: a seed.
    pub(crate) fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.entropy.fill(&mut seed);
        seed
    }
}

impl fmt::Debug for ClientPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientPorts")
    }
}
