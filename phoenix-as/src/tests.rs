//! The operations, each through the driver over a store in memory.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod accounts;
mod alias_ends;
mod aliases;
mod bounds;
mod ceilings;
mod changes;
mod credentials;
mod dpop;
mod ended;
mod expiry;
mod guesses;
mod issuance;
mod logins;
mod lookup;
mod notices;
mod offers;
mod packages;
mod passwords;
mod policies;
mod profiles;
mod proof_of_work;
mod registration;
mod renewal;
mod revocation;
mod single;
mod surroundings;
mod world;
