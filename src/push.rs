//! A `Push` port for development.

use async_trait::async_trait;
use phoenix_core::port::{Push, PushNotice};

/// Says in the log that somebody would be pushed to, and pushes to nobody. The log says neither whom, nor where, nor
/// why: only how soon.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogPush;

#[async_trait]
impl Push for LogPush {
    async fn push(&self, notice: &PushNotice) {
        tracing::info!(urgency = ?notice.urgency, "a client would be pushed to");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{
        fmt::{Debug, Write},
        sync::{Arc, Mutex},
    };

    use futures::executor::block_on;
    use phoenix_core::{
        api::queue::{PushToken, WebPushSubscription},
        port::{Push, PushNotice, Urgency},
        wire::{Secret, SecretOpaque},
    };
    use tracing::{
        Event, Metadata, Subscriber,
        field::{Field, Visit},
        span::{Attributes, Id, Record},
    };

    use super::LogPush;

    #[test]
    fn t30_the_log_says_how_soon_and_nothing_else() {
        let endpoint = SecretOpaque::new(b"https://push.example/canary").unwrap();
        let subscription = WebPushSubscription { endpoint, key: [0xc5; 65], auth: Secret::new([0xc7; 16]) };
        let notice = PushNotice { token: PushToken::WebPush(subscription), urgency: Urgency::High };
        let said = Said::default();

        tracing::subscriber::with_default(said.clone(), || block_on(LogPush.push(&notice)));

        assert_eq!(*said.0.lock().unwrap(), "message=a client would be pushed to;urgency=High;");
    }

    /// What was logged, field by field.
    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<String>>);

    impl Visit for Said {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            write!(self.0.lock().unwrap(), "{}={value:?};", field.name()).unwrap();
        }
    }

    impl Subscriber for Said {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            event.record(&mut self.clone());
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }
}
