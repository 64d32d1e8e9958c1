//! Vocabulary, ports and driver of the Phoenix homeserver.
//!
//! Start with [`api`] for what can be asked of a homeserver, [`port`] for what one needs of its surroundings,
//! and `operation` for how a request becomes a decision.

// What strangers send is added up here: no sum may wrap.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod advertised;
pub mod api;
mod board;
pub mod costs;
pub mod credential;
pub mod crypto;
mod delay;
pub mod dpop;
pub mod engine;
mod fan_out;
mod fault;
pub mod federation;
mod generation;
pub mod group;
mod id;
pub mod limit;
pub mod operation;
mod origin;
pub mod port;
pub mod published;
mod push_token;
pub mod queue;
mod queue_config;
mod reject;
pub mod store;
pub mod time;
pub mod token;
pub mod wire;

pub use advertised::{Advertised, Sent};
pub use delay::{Breaker, Delay, Delays};
pub use fan_out::MAX_PART;
pub use fault::Fault;
pub use generation::Generation;
pub use id::{
    AliasHash, ClientId, ConfigId, Epoch, Fingerprint, Fqdn, GroupId, KeyId, KeyPackageRef, LeafIndex,
    MessageId, Pseudonym, QsClientId, QsUserId, UserId, Uuid,
};
pub use origin::Origin;
pub use reject::{ErrorCode, ErrorReply, Failure, MAX_DETAIL, Refusal, Reject};
pub use time::Timestamp;
