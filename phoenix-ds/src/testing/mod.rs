//! A delivery service over memory, and members that know just enough MLS to use it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    reason = "tests"
)]

mod member;
mod world;

pub(crate) use member::{Commit, Member};
pub(crate) use world::{World, rejected};
