//! The operations of the QS, one a file.

pub mod create_user;
pub mod deliver;
pub mod dequeue;
pub mod dispatch;
pub mod federated_enqueue;
pub mod forward;
pub mod get_add_packages;
pub mod greet;
pub mod publish_add_packages;
pub mod qs_keys;
pub mod resume;
pub mod settle;
