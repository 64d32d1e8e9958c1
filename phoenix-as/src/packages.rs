//! Connection packages of clients and aliases (04): taken ones are deleted, the last one stays.
//!
//! A package's row is its last second and its place in the batch, so that those which have ended lie below those
//! which have not; the last resort's row lies behind all of them.

use bytes::Bytes;
use phoenix_core::{
    Failure, Fault, Reject, Timestamp,
    credential::PackagePayload,
    operation::{Context, Decision, Local, Reading, Rows},
    port::{Alarm, MAX_VALUE, RowKey, Wanted, Write},
    wire::Wire,
};

use crate::{AuthService, account::ends, record};

/// A package that can be served, and the row that it is taken from.
pub(crate) struct Package<T> {
    pub(crate) package: T,
    row: RowKey,
}

/// What a package may be: signed by its owner, or not.
pub(crate) trait Payload: Wire {
    fn payload(&self) -> &PackagePayload;
}

/// Reads the package that is served next, to take it.
pub(crate) fn reading(at: Local, cx: &Context<AuthService>) -> Reading {
    let from = Bytes::copy_from_slice(&cx.now.as_secs().to_be_bytes());
    Reading::change(at, Wanted::Range { from, below: Bytes::new(), limit: 1, bytes: MAX_VALUE })
}

/// Reads all packages, to rely on them.
pub(crate) fn reading_all(at: Local) -> Reading {
    Reading::watch(at, Wanted::first(ALL))
}

/// When the last of the packages at a place that [`reading_all`] asked for has ended, if there is one.
///
/// # Errors
/// A fault where what is stored is none.
pub(crate) fn ended<T: Payload>(rows: &Rows, place: usize) -> Result<Option<Timestamp>, Fault> {
    let mut last = None;
    for (_, stored) in rows.rows(place)? {
        let package: T = record::decode(stored)?;
        last = last.max(Some(ends(package.payload().lifetime.not_after)));
    }
    Ok(last)
}

/// The package at a place that [`reading`] asked for, if there is one that has not ended.
///
/// # Errors
/// A fault where what is stored is none.
pub(crate) fn found<T: Payload>(
    rows: &Rows,
    place: usize,
    cx: &Context<AuthService>,
) -> Result<Option<Package<T>>, Fault> {
    let Some((row, stored)) = rows.rows(place)?.first() else { return Ok(None) };
    let package: T = record::decode(stored)?;
    let is_current = package.payload().lifetime.contains(cx.now);
    Ok(is_current.then(|| Package { package, row: row.clone() }))
}

impl<T> Package<T> {
    /// Also takes the package, where it is not the last resort; those that have ended go with it.
    pub(crate) fn taken<R>(&self, at: Local, decision: Decision<R>) -> Decision<R> {
        if self.row == LAST_RESORT {
            return decision;
        }
        let writes = vec![Write::DeleteBelow(self.row.clone()), Write::Delete(self.row.clone())];
        decision.change(at, writes, Alarm::Keep)
    }
}

/// The writes that put packages, which were checked, in the place of those there, and when the last of them has
/// ended: at most at `latest`, the last second of whom they lead to.
///
/// # Errors
/// [`Reject::Malformed`] where there is none, or one has too long a lifetime.
pub(crate) fn publication<T: Payload>(
    packages: &[T],
    latest: u64,
    cx: &Context<AuthService>,
) -> Result<(Vec<Write>, Alarm), Failure> {
    let (last, ordinary) = packages.split_last().ok_or(Reject::Malformed("packages"))?;
    let mut writes = vec![Write::Drop];
    for (place, package) in ordinary.iter().enumerate() {
        let row = row(package, place, cx)?;
        writes.push(Write::Put(row, record::encode(package)));
    }
    row(last, ordinary.len(), cx)?;
    writes.push(Write::Put(LAST_RESORT, record::encode(last)));
    let ended = packages.iter().map(|package| package.payload().lifetime.not_after).max().unwrap_or(0);
    Ok((writes, Alarm::At(ends(ended.min(latest)))))
}

fn row<T: Payload>(package: &T, place: usize, cx: &Context<AuthService>) -> Result<RowKey, Reject> {
    let payload = package.payload();
    if payload.lifetime.not_after > cx.now.plus_secs(cx.settings.package_lifetime_s).as_secs() {
        return Err(Reject::Malformed("lifetime"));
    }
    let place = u16::try_from(place).map_err(|_| Reject::TooLarge("packages"))?;
    let mut row = payload.lifetime.not_after.to_be_bytes().to_vec();
    row.extend_from_slice(&place.to_be_bytes());
    Ok(row.into())
}

/// More than there are.
const ALL: u32 = 128;
/// The row of the package that stays: behind those of all times.
const LAST_RESORT: Bytes = Bytes::from_static(&[0xff; 11]);
