//! The port to threads for heavy work.

/// A computation that may take long.
pub type Job = Box<dyn FnOnce() + Send>;

/// Runs heavy computations off the executor's threads, boundedly many at a time.
pub trait Compute: Send + Sync + 'static {
    /// Takes the job, to be run soon and once.
    ///
    /// # Errors
    /// [`Saturated`] when too many jobs wait already.
    fn submit(&self, job: Job) -> Result<(), Saturated>;
}

/// Too many jobs wait already. Gives the job back.
pub struct Saturated(pub Job);

/// Runs every job at once, where it is submitted: for simulations and small tools.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline;

impl Compute for Inline {
    fn submit(&self, job: Job) -> Result<(), Saturated> {
        job();
        Ok(())
    }
}
