//! The authentication service: identities and tokens (spec 03, 04, 05).
//!
//! The AS knows who its users are, and nothing else: it signs the credentials of their clients, hands out what is
//! needed to reach them, and issues the anonymous tokens that everything else costs. It learns neither queues nor
//! groups, and nothing that it stores relates an alias to a user.
//!
//! Start with `op`: one file for each endpoint, each an [`Operation`](phoenix_core::operation::Operation) without
//! I/O. What they share lies beside it: `kinds` lists what is stored where, `account` proves who a local client is,
//! `direct_queue` and `packages` serve users and aliases alike, `issuance` and `allowance` count issued tokens, and
//! `opaque` is the only place that knows the library of that protocol. [`AuthKeys`] holds the service's secrets,
//! [`AuthSettings`] what its operator may change, and [`handlers`] is what a homeserver routes to.

// What strangers send is added up here: no sum may wrap.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod account;
mod alias;
mod allowance;
mod attempts;
mod audiences;
mod authority;
mod direct_queue;
mod domain_count;
mod dpop_keys;
mod invitations;
mod issuance;
mod keys;
mod kinds;
mod login;
mod notices;
mod op;
mod opaque;
mod packages;
mod policy;
mod profiles;
mod record;
mod revocations;
mod root;
mod service;
mod settings;
mod suffixes;
mod work;

pub use authority::{AuthorityChange, AuthorityError};
pub use keys::AuthKeys;
pub use kinds::NOTICES;
pub use op::AsCredentials;
pub use op::{Invite, Notify, NotifyRequest, Outstanding, RegistrationSwitch, Settled, Visit, VisitRequest};
pub use policy::{RegistrationPolicy, RegistrationSettings, WorkSettings};
pub use root::{Root, RootKey};
pub use service::{AuthService, handlers};
pub use settings::{Allowances, AuthSettings, LoginLimits, RemoteAllowance};
pub use suffixes::PublicSuffixes;

#[cfg(test)]
mod tests;
