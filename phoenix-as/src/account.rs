//! Who a local client is.

use phoenix_core::{
    ClientId, Failure, Reject, Timestamp,
    credential::VerifiedClientCredential,
    operation::{Context, Decoded, Frame, Operation, Proven, Reading, Rows},
    port::{Alarm, Wanted, Write},
    time::Month,
    wire::Sender,
};

use crate::{
    AuthService, kinds,
    record::{self, Client},
};

/// The client that a frame names; nothing is proven yet.
///
/// # Errors
/// [`Reject::Unauthenticated`] where it names none.
pub(crate) fn claimed<O: Operation>(call: &Decoded<O>) -> Result<&ClientId, Reject> {
    match call.frame()?.sender() {
        Sender::ClientCredential(credential) => Ok(&credential.payload.client),
        _ => Err(Reject::Unauthenticated),
    }
}

/// The client that a frame names, for endpoints of local clients.
///
/// # Errors
/// [`Reject::Forbidden`] where it is another homeserver's: nobody is asked for its keys.
pub(crate) fn claimed_local<'a, O: Operation>(
    call: &'a Decoded<O>,
    cx: &Context<AuthService>,
) -> Result<&'a ClientId, Reject> {
    let client = claimed(call)?;
    if client.user.domain == cx.domain { Ok(client) } else { Err(Reject::Forbidden) }
}

/// Reads a client's record, to rely on it.
pub(crate) fn reading(client: &ClientId) -> Reading {
    Reading::watch(kinds::client(client), Wanted::Keys(vec![record::ROW]))
}

/// The record at a place that [`reading`] asked for, if there is such a client.
///
/// # Errors
/// A fault where what is stored is none.
pub(crate) fn found(rows: &Rows, place: usize) -> Result<Option<Client>, Failure> {
    let stored = rows.row(place, &record::ROW)?;
    Ok(stored.map(|stored| record::decode(stored)).transpose()?)
}

/// Proves that a frame is of a client that this AS knows: the chain verifies, the signature is the client's, and
/// its record stands. Renewal keeps a client's key, so an earlier credential of the same key is still its own.
///
/// # Errors
/// [`Reject::Unauthenticated`], whatever is wrong.
pub(crate) fn prove(
    frame: &Frame,
    known: Option<&Client>,
    cx: &Context<AuthService>,
) -> Result<Proven<VerifiedClientCredential>, Reject> {
    let Sender::ClientCredential(credential) = frame.sender() else { return Err(Reject::Unauthenticated) };
    let verified = cx.keys.service.verified().verify_chain(credential, cx.now)?;
    let key = verified.key().clone();
    let proven = frame.prove(&key, verified)?;
    let is_known = known.is_some_and(|known| known.credential.payload.key == key);
    if is_known { Ok(proven) } else { Err(Reject::Unauthenticated) }
}

impl Client {
    /// The write that marks this month, where it is not marked yet.
    pub(crate) fn marked(self, now: Timestamp) -> Option<Write> {
        let month = Month::of(now);
        let is_new = self.activity != month;
        is_new.then(|| Write::Put(record::ROW, record::encode(&Self { activity: month, ..self })))
    }

    /// When the client has ended, and what is its own with it.
    pub(crate) fn alarm(&self) -> Alarm {
        Alarm::At(ends(self.credential.payload.validity.not_after))
    }
}

/// The moment after a last second.
pub(crate) const fn ends(not_after: u64) -> Timestamp {
    Timestamp::from_secs(not_after.saturating_add(1))
}
