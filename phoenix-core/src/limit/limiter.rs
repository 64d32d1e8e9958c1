//! What counts the loads.

use std::{
    hash::Hasher,
    sync::{Arc, Mutex, PoisonError},
};

use siphasher::sip::SipHasher24;

use super::{Limit, Limits, Load, Rate, rate::NANOS_PER_S, table::Table};
use crate::{Timestamp, wire::Secret};

/// Counts loads in bounded memory: one table of fixed size for each limit, and in it one point in time for each key,
/// which is the token bucket of the generic cell rate algorithm (ITU-T I.371, annex A).
///
/// It keeps no key, only hashes under a secret that dies with the process: nobody can find out from it who did what,
/// or choose keys that fall on each other.
pub struct Limiter {
    limits: Arc<Limits>,
    secret: Secret<16>,
    /// One lock: it is held for about a microsecond, and what a call counts for counts whole or not at all.
    tables: Mutex<[Table; Limit::ALL.len()]>,
}

impl Limiter {
    /// A limiter that has counted nothing yet. The secret must be fresh from the `Entropy` port.
    #[must_use]
    pub fn new(limits: Limits, secret: Secret<16>) -> Self {
        Self { limits: Arc::new(limits), secret, tables: Mutex::new(Limit::ALL.map(|_| Table::default())) }
    }

    /// What is let through.
    #[must_use]
    pub const fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// Counts all of the loads, or none.
    ///
    /// # Errors
    /// Where one of them is over its limit: after how many seconds the first of those would no longer be.
    pub fn admit(&self, loads: &[Load], now: Timestamp) -> Result<(), u32> {
        let limited = |load: &Load| {
            let rate = load.rate.or(self.limits.of(load.limit))?;
            Some((load.limit, rate, self.hash(load), load.amount))
        };
        let limited: Vec<_> = loads.iter().filter_map(limited).collect();
        if limited.is_empty() {
            return Ok(());
        }
        let now = now.0.saturating_mul(NANOS_PER_MS);
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        for (limit, rate, hash, amount) in &limited {
            let counted = tables.get(limit.place()).map_or(0, |table| table.find(*hash));
            spent(counted, *rate, *amount, now)?;
        }
        for (limit, rate, hash, amount) in limited {
            let Some(table) = tables.get_mut(limit.place()) else { continue };
            let counted = table.find(hash);
            table.keep(hash, spent(counted, rate, amount, now).unwrap_or(counted), full(rate, now));
        }
        Ok(())
    }

    /// Bytes that the tables take.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Table::memory).sum()
    }

    fn hash(&self, load: &Load) -> u64 {
        let mut hasher = SipHasher24::new_with_key(self.secret.expose());
        hasher.write_u8(load.limit as u8);
        hasher.write(&load.key);
        hasher.finish()
    }
}

/// When a bucket is empty again after so much more, from when it would have been, in nanoseconds.
///
/// # Errors
/// Where it overflows: after how many seconds it would not.
fn spent(empty_at: u64, rate: Rate, amount: u32, now: u64) -> Result<u64, u32> {
    let full = full(rate, now);
    // Beyond full only where the clock was set back: from when it would be empty cannot be told then.
    let empty_at = if empty_at > full { now } else { empty_at.max(now) };
    let next = empty_at.saturating_add(rate.span(amount));
    match next.checked_sub(full) {
        None | Some(0) => Ok(next),
        Some(over) => Err(u32::try_from(over.div_ceil(NANOS_PER_S)).unwrap_or(u32::MAX)),
    }
}

/// When a bucket that is full now would be empty again.
fn full(rate: Rate, now: u64) -> u64 {
    now.saturating_add(rate.span(u32::MAX))
}

const NANOS_PER_MS: u64 = 1_000_000;
