//! How this homeserver stands to others.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    api::federation::FederationLimits,
    limit::{Limit, Limits, Rate},
};

/// How this homeserver stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum Standing {
    /// They deal with each other, on these terms.
    #[tls_codec(discriminant = 1)]
    Allowed(Terms),
    /// For a while nothing passes between them, and both keep what they have: what waits for it here is held.
    #[tls_codec(discriminant = 2)]
    Paused,
    /// This homeserver wants nothing to do with it.
    #[tls_codec(discriminant = 3)]
    Blocked(Outbox),
}

impl Default for Standing {
    fn default() -> Self {
        Self::Allowed(Terms::default())
    }
}

/// What becomes of what waits for a homeserver that is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum Outbox {
    /// It is kept until it is too old (7 d), and sent where the block ends before.
    Hold = 1,
    /// It is let go of, and given up towards whoever sent it.
    Drop = 2,
}

/// What a homeserver gets that is allowed; `None` for what all get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct Terms {
    /// Tokens for all its clients together, in place of what their use makes of it (05): in Standard tokens a day, other
    /// classes in proportion; 0 for none at all.
    pub tokens: Option<u64>,
    /// Deliveries that are taken of it each second, each recipient counted; at least one.
    pub deliveries_per_s: Option<u32>,
    /// Bytes of deliveries that are taken of it each second; at least one.
    pub bytes_per_s: Option<u32>,
}

impl Terms {
    /// What of a limit that counts for a homeserver is let through on these terms; `None` for what is let through of all.
    #[must_use]
    pub const fn rate(&self, limit: Limit) -> Option<Rate> {
        let (per_second, burst_s) = match limit {
            Limit::SourceDeliveries => (self.deliveries_per_s, DELIVERIES_BURST_S),
            Limit::SourceBytes => (self.bytes_per_s, BYTES_BURST_S),
            _ => return None,
        };
        match per_second {
            Some(per_second) => Some(Rate::new(per_second, per_second.saturating_mul(burst_s))),
            None => None,
        }
    }

    /// What a homeserver on these terms is told of the limits (08).
    #[must_use]
    pub fn advertised(&self, limits: &Limits) -> FederationLimits {
        let told = limits.advertised();
        FederationLimits {
            deliveries_per_s: self.deliveries_per_s.map_or(told.deliveries_per_s, |set| set.max(1)),
            bytes_per_s: self.bytes_per_s.map_or(told.bytes_per_s, |set| set.max(1)),
            ..told
        }
    }
}

/// Seconds in which a burst comes that may come at once after a pause: those of the defaults.
const DELIVERIES_BURST_S: u32 = 25;
const BYTES_BURST_S: u32 = 16;
