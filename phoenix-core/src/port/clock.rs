//! The port to time.

use std::pin::pin;

use async_trait::async_trait;
use futures::future::{Either, select};

use crate::Timestamp;

/// Tells the time and waits for it.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
    /// Waits until `at`; returns at once where that has passed.
    async fn sleep_until(&self, at: Timestamp);
}

/// What comes of some work, where that comes before `deadline`; the work is dropped where it does not.
pub async fn before<T>(deadline: Timestamp, clock: &dyn Clock, work: impl Future<Output = T>) -> Option<T> {
    match select(pin!(work), clock.sleep_until(deadline)).await {
        Either::Left((outcome, _)) => Some(outcome),
        Either::Right(_) => None,
    }
}

#[async_trait]
impl<T: Clock + ?Sized> Clock for std::sync::Arc<T> {
    fn now(&self) -> Timestamp {
        self.as_ref().now()
    }

    async fn sleep_until(&self, at: Timestamp) {
        self.as_ref().sleep_until(at).await;
    }
}
