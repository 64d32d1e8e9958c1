//! For whom the live DPoP tokens of a user are (09, "live DPoP audiences"): who is to be told when the user is deleted.
//!
//! A row for each domain, with the ten minutes in which the last token for it ends, counted from the Unix epoch: no finer
//! time is kept.

use std::collections::BTreeMap;

use bytes::Bytes;
use phoenix_core::{
    Fault, Fqdn, Reject, Timestamp, UserId,
    dpop::TOKEN_S,
    operation::{Context, Decision, Reading, Rows},
    port::{Alarm, Wanted, Write},
};

use crate::{AuthService, kinds, record};

/// The domains at a place that [`reading`] asked for, each with its window.
pub(crate) struct Audiences(BTreeMap<Bytes, u64>);

/// Reads a user's, to change them.
pub(crate) fn reading(user: &UserId) -> Reading {
    Reading::change(kinds::audiences(user), Wanted::first(MAX_LIVE.saturating_add(1)))
}

impl Audiences {
    /// What was found.
    ///
    /// # Errors
    /// A fault where what is stored is none.
    pub(crate) fn found(rows: &Rows, place: usize) -> Result<Self, Fault> {
        let rows = rows.rows(place)?.iter();
        rows.map(|(domain, window)| Ok((domain.clone(), record::decode(window)?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The domains of tokens that have not ended.
    pub(crate) fn live(&self, now: Timestamp) -> impl Iterator<Item = Fqdn> {
        let live = self.0.iter().filter(move |(_, window)| now < end(**window));
        // It was written from one.
        live.filter_map(|(domain, _)| std::str::from_utf8(domain).ok()?.parse().ok())
    }

    /// Also notes a token for these domains.
    ///
    /// # Errors
    /// [`Reject::RateLimited`] where there would be too many.
    pub(crate) fn noted<R>(
        self,
        decision: Decision<R>,
        user: &UserId,
        (audiences, expires): (&[Fqdn], Timestamp),
        cx: &Context<AuthService>,
    ) -> Result<Decision<R>, Reject> {
        let window = expires.as_secs().div_ceil(TOKEN_S);
        let is_live = |window: u64| cx.now < end(window);
        let (mut live, ended): (BTreeMap<_, _>, BTreeMap<_, _>) =
            self.0.into_iter().partition(|(_, window)| is_live(*window));
        let mut writes: Vec<Write> = ended.into_keys().map(Write::Delete).collect();
        for audience in audiences {
            let domain = Bytes::copy_from_slice(audience.as_str().as_bytes());
            if live.get(&domain).is_none_or(|noted| *noted < window) {
                writes.push(Write::Put(domain.clone(), record::encode(&window)));
                live.insert(domain, window);
            }
        }
        if u32::try_from(live.len()).is_ok_and(|live| live > MAX_LIVE) {
            return Err(Reject::RateLimited(u32::try_from(TOKEN_S).unwrap_or(u32::MAX)));
        }
        let last = live.into_values().max().map_or(Timestamp::MAX, end);
        Ok(decision.change(kinds::audiences(user), writes, Alarm::At(last)))
    }
}

const fn end(window: u64) -> Timestamp {
    Timestamp::from_secs(window.saturating_mul(TOKEN_S))
}

/// Domains that a user's live tokens may be for: all of a busy user's, in little of a notice.
const MAX_LIVE: u32 = 64;
