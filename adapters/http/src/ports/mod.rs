//! The ports that an ordinary process gives.

mod clock;
mod compute;
mod entropy;

pub use clock::TokioClock;
pub use compute::BlockingCompute;
pub use entropy::OsEntropy;
