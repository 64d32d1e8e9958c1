//! The operations, each through the driver over a store in memory.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod aliases;
mod ceilings;
mod issuance;
mod offers;
mod packages;
mod registration;
mod surroundings;
mod world;
