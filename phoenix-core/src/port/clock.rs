//! The port to time.

use async_trait::async_trait;

use crate::Timestamp;

/// Tells the time and waits for it.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
    /// Waits until `at`; returns at once where that has passed.
    async fn sleep_until(&self, at: Timestamp);
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
