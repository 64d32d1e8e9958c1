//! A delivery service over memory, and members that know just enough MLS to use it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    reason = "tests"
)]

pub(crate) mod calendar;
mod hostile;
mod joining;
mod letters;
mod member;
mod mls;
mod world;

pub(crate) use member::Member;
pub(crate) use world::{Arrived, World, refusal, rejected};
