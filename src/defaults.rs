//! Ports for the ordinary case, without a runtime.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use futures_timer::Delay;

use phoenix_core::{
    Timestamp,
    port::{Clock, Compute, Entropy, Job, Saturated},
};

/// The system's clock. Sleeping needs no runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX))
    }

    async fn sleep_until(&self, at: Timestamp) {
        loop {
            let left = at.millis_since(self.now());
            if left == 0 {
                return;
            }
            Delay::new(Duration::from_millis(left).min(LONGEST_SLEEP)).await;
        }
    }
}

/// How long to sleep without a look at the clock, which may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    /// # Panics
    /// Where the operating system has no randomness to give: going on would make every key guessable.
    #[expect(clippy::panic, reason = "there is no safe way to go on without randomness")]
    fn fill(&self, buffer: &mut [u8]) {
        if let Err(error) = getrandom::fill(buffer) {
            panic!("the operating system gives no randomness: {error}");
        }
    }
}

/// A few threads of its own for heavy computations. They end when the pool is dropped.
pub struct Threads {
    jobs: SyncSender<Job>,
}

impl Threads {
    /// As many threads as the machine has cores.
    ///
    /// # Errors
    /// Where the operating system starts no thread.
    pub fn new() -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel::<Job>(MAX_WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..thread::available_parallelism().map_or(1, NonZeroUsize::get) {
            let waiting = waiting.clone();
            thread::Builder::new().name("phoenix-compute".into()).spawn(move || work(&waiting))?;
        }
        Ok(Self { jobs })
    }
}

impl Compute for Threads {
    fn submit(&self, job: Job) -> Result<(), Saturated> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => Saturated(job),
        })
    }
}

fn work(waiting: &Mutex<Receiver<Job>>) {
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // A job that panics is a bug; it must not take the thread away from those behind it. Its caller learns
        // from the channel that it was dropped.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
    }
}

/// Jobs that may wait: a few seconds of work; whoever comes then had better come back.
const MAX_WAITING: usize = 256;

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use phoenix_core::{Timestamp, port::Clock};

    use super::SystemClock;

    #[test]
    fn a_sleep_ends_when_its_time_has_come() {
        let until = SystemClock.now().plus_millis(20);

        block_on(SystemClock.sleep_until(until));
        block_on(SystemClock.sleep_until(Timestamp(0)));

        assert!(SystemClock.now() >= until);
    }
}
