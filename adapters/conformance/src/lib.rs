//! The ports of Phoenix as exams that any adapter takes.

pub mod store;
