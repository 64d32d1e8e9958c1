//! Names of things (01, "Words").

mod fqdn;
mod names;

pub use fqdn::Fqdn;
pub use names::{
    AliasHash, ClientId, ConfigId, Epoch, Fingerprint, GroupId, KeyId, KeyPackageRef, LeafIndex, MessageId,
    Pseudonym, QsClientId, QsUserId, UserId, Uuid,
};
