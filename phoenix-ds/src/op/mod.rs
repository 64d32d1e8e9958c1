//! The operations of the delivery service: one endpoint, one file.

pub(crate) mod add_users;
pub(crate) mod create_group;
pub(crate) mod ds_keys;
pub(crate) mod external_commit_info;
pub(crate) mod join_connection_group;
pub(crate) mod remove_users;
pub(crate) mod request_group_id;
pub(crate) mod send_message;
pub(crate) mod undelivered;
pub(crate) mod update_client;
pub(crate) mod update_queue_config;
pub(crate) mod welcome_info;
