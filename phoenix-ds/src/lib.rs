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
mod induced;
mod keys;
mod kinds;
mod loads;
mod mls;
mod notes;
mod op;
mod roles;
mod roster;
mod rules;
mod sealed;
mod sending;
mod service;
mod snapshot;
mod tree;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use phoenix_core::engine::{Engine, Handler, bind};

pub use keys::DeliveryKeys;
pub use op::{
    add_users::AddUsers, change_roles::ChangeRoles, create_group::CreateGroup, delete_group::DeleteGroup,
    ds_keys::DsKeys, external_commit_info::ExternalCommitInfo, join_connection_group::JoinConnectionGroup,
    remove_users::RemoveUsers, report::Report, request_group_id::RequestGroupId, resync::Resync,
    self_remove::SelfRemove, send_message::SendMessage, send_targeted::SendTargeted,
    undelivered::Undelivered, update_client::UpdateClient, update_profile_key::UpdateProfileKey,
    update_queue_config::UpdateQueueConfig, welcome_info::WelcomeInfo,
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
        bind::<ChangeRoles>(engine),
        bind::<UpdateClient>(engine),
        bind::<SelfRemove>(engine),
        bind::<Resync>(engine),
        bind::<SendMessage>(engine),
        bind::<SendTargeted>(engine),
        bind::<UpdateProfileKey>(engine),
        bind::<Report>(engine),
        bind::<DeleteGroup>(engine),
        bind::<DsKeys>(engine),
    ]
}
