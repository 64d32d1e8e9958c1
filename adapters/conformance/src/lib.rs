//! The ports of Phoenix as exams that any adapter takes.

pub mod fuzz;
#[cfg(feature = "world")]
pub mod network;
pub mod store;
#[cfg(feature = "world")]
pub mod world;
