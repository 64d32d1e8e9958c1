//! Tells other homeservers which users of this one were deleted (08, "User lifecycle").

use futures::future::join_all;
use phoenix_as::{Notify, NotifyRequest, Outstanding, Settled};
use phoenix_core::{
    ErrorCode, Failure,
    api::{Endpoint, ServiceName, auth::UserNotice},
    operation::{Fare, Need},
    port::{Circuit, Outgoing},
    wire::{Flag, List},
};

use crate::homeserver::Inner;

/// Sends what is due of a deleted user's notices, side by side, and notes what came of it.
pub(crate) async fn send(inner: &Inner, mailbox: [u8; 32]) -> Result<(), Failure> {
    let notify = |settled| inner.auth.internal::<Notify>(NotifyRequest { mailbox, settled }, Fare::Free);
    let outstanding = notify(List::default()).await?;
    let settled = join_all(outstanding.into_iter().map(|notice| post(inner, notice))).await;
    if settled.is_empty() {
        return Ok(());
    }
    notify(List::new(settled).map_err(phoenix_core::Reject::from)?).await.map(drop)
}

/// Posts a notice to a homeserver: to who publishes keys, and no other host (08).
pub(crate) async fn post(inner: &Inner, notice: Outstanding) -> Settled {
    let Outstanding { row, to, call } = notice;
    if inner.shared.keys_of(&Need::keys(to.clone(), ServiceName::As)).await.is_err() {
        // It waits; so, too, where the operator's policy holds the homeserver back.
        return Settled { row, is_done: Flag::No };
    }
    let name = UserNotice::DESCRIPTION.name;
    let outgoing = Outgoing { service: ServiceName::As, name, call, circuit: Circuit::default() };
    let is_done = match inner.shared.ports().transport.send(&to, outgoing).await {
        Ok(Ok(_)) => true,
        // It will never understand it.
        Ok(Err(refused)) => {
            matches!(refused.code, ErrorCode::Malformed | ErrorCode::NotFound | ErrorCode::UnsupportedVersion)
        }
        Err(_) => false,
    };
    Settled { row, is_done: Flag::from(is_done) }
}
