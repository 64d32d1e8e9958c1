//! How long keys are relied on that cannot be asked for again.

use crate::time::DAY;

/// For how long the last good keys of a homeserver that does not answer stay usable, beyond the hour for which they are
/// not asked for again (08): up to seven days, which is as long as anything waits for a homeserver; a day by default.
///
/// The longer, the longer a netsplit leaves what was trusted before it verifiable, and what was revoked meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyGrace(u64);

impl KeyGrace {
    /// The longest.
    pub const MAX: Self = Self(7 * DAY);

    /// So many seconds; none where these are more than seven days.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Option<Self> {
        if seconds <= Self::MAX.0 { Some(Self(seconds)) } else { None }
    }

    /// In seconds.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }
}

impl Default for KeyGrace {
    fn default() -> Self {
        Self(DAY)
    }
}
