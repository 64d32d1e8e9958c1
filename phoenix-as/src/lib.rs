//! The authentication service: identities and tokens (spec 03, 04, 05).
//!
//! The AS knows who its users are, and nothing else: it signs the credentials of their clients, hands out what is
//! needed to reach them, and issues the anonymous tokens that everything else costs. It learns neither queues nor
//! groups, and nothing that it stores relates an alias to a user.
//!
//! Start with `op`: one file for each endpoint, each an [`Operation`](phoenix_core::operation::Operation) without
//! I/O. What they share lies beside it: `kinds` lists what is stored where, `account` proves who a local client is,
//! `direct_queue` and `packages` serve users and aliases alike, `allowance` counts issued tokens, and `opaque` is
//! the only place that knows the library of that protocol. [`AuthKeys`] holds the service's secrets, [`AuthSettings`]
//! what its operator may change, and [`handlers`] is what a homeserver routes to.

// What strangers send is added up here: no sum may wrap.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod account;
mod alias;
mod allowance;
mod direct_queue;
mod keys;
mod kinds;
mod op;
mod opaque;
mod packages;
mod record;
mod service;
mod settings;

pub use keys::AuthKeys;
pub use service::{AuthService, handlers};
pub use settings::{Allowances, AuthSettings, RemoteAllowance};

#[cfg(test)]
mod tests;
