//! The operations through the driver, over memory: one or two homeservers, whose wire the tests hold in hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod blocklist;
mod breaker;
mod client;
mod clients;
mod deliver;
mod ephemeral;
mod federation;
mod fragile;
mod held;
mod later;
mod limits;
mod mailboxes;
mod packages;
mod poison;
mod policy;
mod push;
mod queues;
mod races;
mod restored;
mod stream_places;
mod streams;
mod update_client;
mod users;
mod whispers;
mod world;
