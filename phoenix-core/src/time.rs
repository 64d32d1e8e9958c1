//! Points in time, as the protocol and the stores count them.

use ::time::{Date, UtcDateTime};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

/// Milliseconds since the Unix epoch.
///
/// Fields on the wire count whole seconds; [`Timestamp::from_secs`] and [`Timestamp::as_secs`] convert.
/// Arithmetic saturates: a time that a stranger names can be far away, but never wraps.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    TlsSerialize,
    TlsDeserializeBytes,
    TlsSize,
)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The latest representable time.
    pub const MAX: Self = Self(u64::MAX);

    /// The start of the given second.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// The second that this point lies in.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000
    }

    /// This point, later by whole seconds.
    #[must_use]
    pub const fn plus_secs(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000)))
    }

    /// This point, later by milliseconds.
    #[must_use]
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this point, or 0.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A month of the UTC calendar, counted from January of the year 0.
///
/// Marks of activity and validities of pseudonyms are told in months, so that they tell little.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    TlsSerialize,
    TlsDeserializeBytes,
    TlsSize,
)]
pub struct Month(pub u32);

impl Month {
    /// The month that a time lies in.
    #[must_use]
    pub fn of(time: Timestamp) -> Self {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let date = UtcDateTime::from_unix_timestamp(seconds).unwrap_or(UtcDateTime::MAX);
        let year = u32::try_from(date.year()).unwrap_or(0);
        Self(year.saturating_mul(12).saturating_add(u32::from(u8::from(date.month())).saturating_sub(1)))
    }

    /// Its first second.
    #[must_use]
    pub fn start(self) -> Timestamp {
        let year = i32::try_from(self.0 / 12).unwrap_or(i32::MAX);
        let month = u8::try_from((self.0 % 12).saturating_add(1))
            .ok()
            .and_then(|month| ::time::Month::try_from(month).ok());
        let date = month.and_then(|month| Date::from_calendar_date(year, month, 1).ok());
        let seconds = date.map(|date| date.midnight().as_utc().unix_timestamp());
        seconds.and_then(|seconds| u64::try_from(seconds).ok()).map_or(Timestamp::MAX, Timestamp::from_secs)
    }

    /// The month so many months later.
    #[must_use]
    pub const fn plus(self, months: u32) -> Self {
        Self(self.0.saturating_add(months))
    }
}

/// Seconds in a minute, for constants that say what they mean.
pub const MINUTE: u64 = 60;
/// Seconds in an hour.
pub const HOUR: u64 = 60 * MINUTE;
/// Seconds in a day.
pub const DAY: u64 = 24 * HOUR;

#[cfg(test)]
mod tests {
    use super::{DAY, Month, Timestamp};

    #[test]
    fn a_month_begins_with_its_first_second() {
        // 2024-02-29T23:59:59Z and the second after it.
        let last = Timestamp::from_secs(1_709_251_199);

        let month = Month::of(last);

        assert_eq!(Month::of(last.plus_secs(1)), month.plus(1));
        assert_eq!(month.plus(1).start(), last.plus_secs(1));
        assert_eq!(month.start().plus_secs(29 * DAY), month.plus(1).start());
    }

    #[test]
    fn no_time_and_no_month_is_too_far_away() {
        assert!(Month::of(Timestamp::MAX).start() <= Timestamp::MAX);
        assert_eq!(Month(u32::MAX).start(), Timestamp::MAX);
    }
}
