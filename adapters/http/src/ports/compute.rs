//! Threads for heavy work.

use std::{
    io,
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use phoenix_core::port::{Compute, Job, Saturated};

/// A fixed number of threads behind a bounded queue. The threads end when it is dropped, after the jobs that
/// they took on.
#[derive(Debug)]
pub struct BlockingCompute {
    queue: SyncSender<Job>,
}

impl BlockingCompute {
    /// With as many threads as the machine has cores.
    ///
    /// # Errors
    /// The system's, when it gives no more threads.
    pub fn new() -> io::Result<Self> {
        Self::with_threads(thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN))
    }

    /// With so many threads.
    ///
    /// # Errors
    /// The system's, when it gives no more threads.
    pub fn with_threads(threads: NonZero<usize>) -> io::Result<Self> {
        let (queue, jobs) = sync_channel(threads.get().saturating_mul(WAITING_PER_THREAD));
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..threads.get() {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new().name("phoenix-compute".into()).spawn(move || work(&jobs))?;
        }
        Ok(Self { queue })
    }
}

impl Compute for BlockingCompute {
    fn submit(&self, job: Job) -> Result<(), Saturated> {
        self.queue.try_send(job).map_err(|_| Saturated)
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // A job that panics has dropped its answer, so its caller knows; the thread is needed for others.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a computation panicked");
        }
    }
}

/// Jobs that may wait for each thread: at some milliseconds a job, a fraction of a call's deadline.
const WAITING_PER_THREAD: usize = 256;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use std::{num::NonZero, sync::mpsc::channel};

    use phoenix_core::port::Compute;

    use super::{BlockingCompute, WAITING_PER_THREAD};

    #[test]
    fn jobs_run_on_other_threads_also_after_one_panicked() {
        let compute = BlockingCompute::with_threads(NonZero::<usize>::MIN).unwrap();
        let (done, ids) = channel();

        compute.submit(Box::new(|| panic!("on purpose"))).unwrap();
        compute.submit(Box::new(move || done.send(std::thread::current().id()).unwrap())).unwrap();

        assert_ne!(ids.recv().unwrap(), std::thread::current().id());
    }

    #[test]
    fn a_full_queue_turns_jobs_away() {
        let compute = BlockingCompute::with_threads(NonZero::<usize>::MIN).unwrap();
        let (release, blocked) = channel::<()>();
        let (started, begun) = channel();
        let block = move || {
            started.send(()).unwrap();
            blocked.recv().unwrap();
        };

        compute.submit(Box::new(block)).unwrap();
        begun.recv().unwrap();

        for _ in 0..WAITING_PER_THREAD {
            assert!(compute.submit(Box::new(|| ())).is_ok());
        }
        assert!(compute.submit(Box::new(|| ())).is_err());
        release.send(()).unwrap();
    }
}
