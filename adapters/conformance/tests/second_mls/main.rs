//! Two MLS implementations in one group: clients on mls-rs and the reference client, which is on OpenMLS, meet on real
//! homeservers, over the public endpoints. What a member does, all others follow; each story is told in both suites.

#![cfg(feature = "world")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests may panic"
)]

mod adding;
mod changing;
mod connecting;
mod induced;
mod leaving;
mod player;
mod refusals;
mod second_client;
#[path = "../threats/site.rs"]
#[allow(dead_code, reason = "attacks need more of it")]
mod site;
mod stage;
