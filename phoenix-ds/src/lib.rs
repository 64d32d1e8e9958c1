//! The delivery service: encrypted groups.
//!
//! It orders each group's commits, checks them as a receiving client would, and hands messages to the queues of
//! members. What it keeps of a group is encrypted under a key that only requests bring (07).

// What strangers send is added up here: no sum may wrap.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod accept;
mod adds;
mod commit;
mod fanout;
mod group;
mod keys;
mod kinds;
mod loads;
mod mls;
mod op;
mod roster;
mod rules;
mod sealed;
mod service;
mod snapshot;
mod tree;

#[cfg(test)]
mod testing;

use std::sync::Arc;

use phoenix_core::engine::{Engine, Handler, bind};

pub use keys::DeliveryKeys;
pub use op::{
    add_users::AddUsers, create_group::CreateGroup, ds_keys::DsKeys,
    external_commit_info::ExternalCommitInfo, join_connection_group::JoinConnectionGroup,
    remove_users::RemoveUsers, request_group_id::RequestGroupId, send_message::SendMessage,
    undelivered::Undelivered, update_client::UpdateClient, update_queue_config::UpdateQueueConfig,
    welcome_info::WelcomeInfo,
};
pub use service::{DeliveryService, DeliverySettings};

/// The handlers of all endpoints that can be reached; [`Undelivered`] is for the homeserver itself.
#[must_use]
pub fn handlers(engine: &Arc<Engine<DeliveryService>>) -> Vec<Arc<dyn Handler>> {
    vec![
        bind::<RequestGroupId>(engine),
        bind::<CreateGroup>(engine),
        bind::<UpdateQueueConfig>(engine),
        bind::<WelcomeInfo>(engine),
        bind::<ExternalCommitInfo>(engine),
        bind::<JoinConnectionGroup>(engine),
        bind::<AddUsers>(engine),
        bind::<RemoveUsers>(engine),
        bind::<UpdateClient>(engine),
        bind::<SendMessage>(engine),
        bind::<DsKeys>(engine),
    ]
}
