//! The ports of Phoenix as exams that any adapter takes, the audit of what a store holds, and worlds in which
//! homeservers and clients meet.

pub mod audit;
pub mod fuzz;
#[cfg(feature = "world")]
pub mod network;
pub mod store;
#[cfg(feature = "world")]
pub mod world;
