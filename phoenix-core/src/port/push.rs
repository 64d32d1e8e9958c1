//! The port to services that wake clients which are not connected.

use async_trait::async_trait;

use crate::api::queue::PushToken;

/// Wakes a client's device through a push service, so that the client reads its queue (06, "Wake-ups").
///
/// A push is a hint: it may be lost. It carries no content, and nothing of what it is given may be kept, logged or
/// shown after the call.
#[async_trait]
pub trait Push: Send + Sync + 'static {
    /// Sends a push; once, whatever comes of it. The caller bounds how many are under way, and gives up after
    /// [`PUSH_DEADLINE_S`].
    async fn push(&self, notice: &PushNotice);
}

/// A push that is to be sent. Wiped when it is dropped.
#[derive(Debug)]
pub struct PushNotice {
    /// Where to.
    pub token: PushToken,
    /// How soon the device need be woken.
    pub urgency: Urgency,
}

/// How soon a device need be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// As usual.
    Normal,
    /// At once, also where that costs battery.
    High,
}

/// Sends none: clients without an open stream learn of messages when they look.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPush;

#[async_trait]
impl Push for NoPush {
    async fn push(&self, _: &PushNotice) {}
}

/// Seconds after which a push that is under way is given up: push services answer within one, and where many are to be
/// pushed to, some wait for others.
pub const PUSH_DEADLINE_S: u64 = 15;
