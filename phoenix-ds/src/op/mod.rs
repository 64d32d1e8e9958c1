//! The operations of the delivery service: one endpoint, one file.

pub(crate) mod add_users;
pub(crate) mod change_roles;
pub(crate) mod create_group;
pub(crate) mod delete_group;
pub(crate) mod ds_keys;
pub(crate) mod external_commit_info;
pub(crate) mod join_connection_group;
pub(crate) mod remove_users;
pub(crate) mod report;
pub(crate) mod request_group_id;
pub(crate) mod resync;
pub(crate) mod self_remove;
pub(crate) mod send_message;
pub(crate) mod send_targeted;
pub(crate) mod undelivered;
pub(crate) mod update_client;
pub(crate) mod update_profile_key;
pub(crate) mod update_queue_config;
pub(crate) mod welcome_info;
