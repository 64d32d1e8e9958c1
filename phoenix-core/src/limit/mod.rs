//! Limits of 05 that are kept in memory: requests per address, messages per group and leaf, deliveries per queue
//! and homeserver.

mod limiter;
mod load;
mod rate;
mod table;

pub use limiter::Limiter;
pub use load::{Limit, Load, Loads};
pub use rate::{LeastTaken, Limits, Rate};

#[cfg(test)]
mod tests;
