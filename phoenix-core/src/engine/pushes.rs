//! Pushes: what wakes clients that are not connected (06, "Wake-ups").
//!
//! A push is a hint. It waits in bounded memory until the worker gives it to the port, once; whatever is too much, or
//! under way when the homeserver ends, is lost, and the message still waits in its queue.

use std::sync::Arc;

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};

use super::Shared;
use crate::{
    operation::PushHint,
    port::{PUSH_DEADLINE_S, PushNotice, before},
};

impl Shared {
    /// Lets a push wait for the worker, unless its client is connected or its budget is spent.
    pub(crate) fn offer_push(&self, hint: PushHint) {
        let is_connected = self.ports.wake.is_heard(&hint.unless);
        let now = self.ports.clock.now();
        if !is_connected && self.limiter.admit(std::slice::from_ref(&hint.budget), now).is_ok() {
            let bytes = hint.token.0.len();
            // What there is no room for is lost.
            let _ = self.pushes.give(hint, bytes);
        }
    }
}

/// The worker that sends pushes.
pub struct Pushes {
    shared: Arc<Shared>,
}

impl Pushes {
    /// A worker over the shared part of a homeserver.
    #[must_use]
    pub const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Works until it is dropped.
    pub async fn run(&self) {
        let waiting = &self.shared.pushes;
        let mut under_way = FuturesUnordered::new();
        loop {
            let listener = waiting.listen();
            while under_way.len() < MAX_UNDER_WAY
                && let Some(hint) = waiting.take()
            {
                under_way.push(self.send(hint));
            }
            futures::select_biased! {
                () = under_way.select_next_some() => {}
                () = listener.fuse() => {}
            }
        }
    }

    /// Sends what waits, one after the other. For tests and draining.
    pub async fn run_once(&self) {
        while let Some(hint) = self.shared.pushes.take() {
            self.send(hint).await;
        }
    }

    /// Opens the push token, and wipes it when it was used. A token that the config's key does not open is its client's
    /// mistake.
    async fn send(&self, hint: PushHint) {
        let Ok(token) = hint.token.open(&hint.client, &hint.key) else { return };
        let (notice, clock) = (PushNotice { token, urgency: hint.urgency }, &self.shared.ports.clock);
        drop(hint);
        let deadline = clock.now().plus_secs(PUSH_DEADLINE_S);
        before(deadline, clock.as_ref(), self.shared.ports.push.push(&notice)).await;
    }
}

/// Pushes with the port at a time, which knows whom they are for and has some wait for others: another 3 MiB.
const MAX_UNDER_WAY: usize = 1_024;
