//! The operations of the QS, one a file.

pub mod create_client;
pub mod create_user;
pub mod delete_client;
pub mod delete_user;
pub mod deliver;
pub mod dequeue;
pub mod dispatch;
pub mod federated_enqueue;
pub mod forward;
pub mod get_add_packages;
pub mod get_user;
pub mod greet;
pub mod publish_add_packages;
pub mod qs_keys;
pub mod resume;
pub mod set_push_token;
pub mod settle;
pub mod stream;
pub mod stream_read;
pub mod survey;
pub mod update_blocklist;
pub mod update_client;
pub mod update_user;
pub mod whisper;
