//! The ports of Phoenix as exams that any adapter takes, and worlds in which homeservers and clients meet.

pub mod fuzz;
#[cfg(feature = "world")]
pub mod network;
pub mod store;
#[cfg(feature = "world")]
pub mod world;
