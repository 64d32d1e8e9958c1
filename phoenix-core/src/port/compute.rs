//! The port to threads for heavy work.

/// A computation that may take long.
pub type Job = Box<dyn FnOnce() + Send>;

/// Runs heavy computations off the executor's threads, boundedly many at a time.
pub trait Compute: Send + Sync + 'static {
    /// Takes the job, to be run soon and once.
    ///
    /// # Errors
    /// [`Saturated`] when too many jobs wait already; the caller is told to come back later.
    fn submit(&self, job: Job) -> Result<(), Saturated>;
}

/// Too many jobs wait already.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("too many computations are waiting")]
pub struct Saturated;

/// Runs every job at once, where it is submitted: for simulations and small tools.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline;

impl Compute for Inline {
    fn submit(&self, job: Job) -> Result<(), Saturated> {
        job();
        Ok(())
    }
}
