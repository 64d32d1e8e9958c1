//! What homeservers tell each other of users (08, "User lifecycle").

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::super::{Description, Empty, Endpoint, SenderKind, ServiceName};
use crate::UserId;

/// Tells a homeserver what became of a user whom it may keep something of. Repeats change nothing.
pub struct UserNotice;

impl Endpoint for UserNotice {
    const DESCRIPTION: Description = Description::new(0x0140, ServiceName::As, "user_notice")
        .homeserver()
        .signed_by(SenderKind::Homeserver);
    type Request = UserNoticeRequest;
    type Reply = Empty;
}

/// What became of a user of the sender. The frame is signed by an intermediate of the sender's AS.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct UserNoticeRequest {
    /// The user.
    pub user: UserId,
    /// What happened.
    pub event: UserEvent,
    /// The serial of the sender's revocation list since then.
    pub serial: u64,
}

/// What can become of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum UserEvent {
    /// The user was deleted.
    Deleted = 1,
}
