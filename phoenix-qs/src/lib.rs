//! The queuing service: pseudonymous queues (06), and the delivery of messages between homeservers (08).
//!
//! A client has a record under a random id, related to no user of the AS. Groups' delivery services send to it
//! through sealed queue configs; friends find its AddPackages by a friendship token. What is for another
//! homeserver waits in a mailbox until [`op::dispatch`] packs it and [`op::settle`] has read the receipt;
//! what its destination put off waits beside it until [`op::resume`] brings it back.

// What strangers send is added up here: no sum may wrap.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod callers;
mod clients;
mod config_cache;
mod delivering;
mod friendship;
mod key_package;
mod keys;
mod kinds;
mod loads;
pub mod op;
mod outgoing;
mod reading;
mod record;
mod renewal;
mod service;
mod waiting;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use phoenix_core::engine::{Engine, Handler, bind, bind_parts, bind_stream};

pub use keys::QueueKeys;
pub use kinds::{DESTINATION, LATER, MAILBOX, keys_topic, mailbox};
pub use record::destination;
pub use service::{QueueService, QueueSettings};

/// The handlers of all endpoints that are reached from outside.
#[must_use]
pub fn handlers(engine: &Arc<Engine<QueueService>>) -> Vec<Arc<dyn Handler>> {
    vec![
        bind::<op::qs_keys::QsKeys>(engine),
        bind::<op::create_user::CreateUser>(engine),
        bind::<op::update_user::UpdateUser>(engine),
        bind::<op::get_user::GetUser>(engine),
        bind::<op::delete_user::DeleteUser>(engine),
        bind::<op::create_client::CreateClient>(engine),
        bind::<op::update_client::UpdateClient>(engine),
        bind::<op::delete_client::DeleteClient>(engine),
        bind::<op::update_blocklist::UpdateBlocklist>(engine),
        bind::<op::set_push_token::SetPushToken>(engine),
        bind::<op::publish_add_packages::PublishAddPackages>(engine),
        bind::<op::get_add_packages::GetAddPackages>(engine),
        bind::<op::dequeue::Dequeue>(engine),
        bind_stream::<op::stream::Stream>(engine),
        bind_parts::<op::federated_enqueue::FederatedEnqueue>(engine),
    ]
}
