//! Time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use phoenix_core::{Timestamp, port::Clock};

/// The system's clock, waited for with tokio's timers.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioClock;

#[async_trait]
impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    async fn sleep_until(&self, at: Timestamp) {
        loop {
            let left = at.millis_since(self.now());
            if left == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(left).min(LONGEST_SLEEP)).await;
        }
    }
}

/// How long to sleep without a look at the clock, which may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use phoenix_core::{Timestamp, port::Clock};

    use super::TokioClock;

    #[tokio::test]
    async fn a_sleep_ends_when_its_time_has_come() {
        let until = TokioClock.now().plus_millis(20);

        TokioClock.sleep_until(until).await;
        TokioClock.sleep_until(Timestamp(0)).await;

        assert!(TokioClock.now() >= until);
    }
}
