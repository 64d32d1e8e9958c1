//! Who a call says that it comes from.

use phoenix_core::{
    QsClientId, QsUserId, Reject,
    operation::{Decoded, Operation, Proven},
    wire::Sender,
};

/// The user that signs for a call, as the frame says.
///
/// # Errors
/// [`Reject::Unauthenticated`] where it says otherwise.
pub(crate) fn claimed_user<O: Operation>(call: &Decoded<O>) -> Result<QsUserId, Reject> {
    match call.frame()?.sender() {
        Sender::QsUser(id) => Ok(*id),
        _ => Err(Reject::Unauthenticated),
    }
}

/// The client that signs for a call, as the frame says.
///
/// # Errors
/// [`Reject::Unauthenticated`] where it says otherwise.
pub(crate) fn claimed_client<O: Operation>(call: &Decoded<O>) -> Result<QsClientId, Reject> {
    match call.frame()?.sender() {
        Sender::QsClient(id) => Ok(*id),
        _ => Err(Reject::Unauthenticated),
    }
}

/// The record behind a call, once its key has signed: what else is read depends on it, and must not be read for others,
/// since the time that it takes would tell who exists.
///
/// # Errors
/// [`Reject::Unauthenticated`] where there is no record, or its key has not signed: both the same.
pub(crate) fn signed<O: Operation, R: Signs>(call: &Decoded<O>, record: Option<R>) -> Result<R, Reject> {
    let _: Proven<()> = call.frame()?.prove_known(record.as_ref().map(R::auth_key), ())?;
    record.ok_or(Reject::Unauthenticated)
}

/// A record whose key signs.
pub(crate) trait Signs {
    /// The key.
    fn auth_key(&self) -> &phoenix_core::crypto::VerifyingKey;
}
