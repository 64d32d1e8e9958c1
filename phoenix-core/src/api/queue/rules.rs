//! What a client does not want to hear (06, "Delivery").

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::super::{Description, Empty, Endpoint, SenderKind, ServiceName};
use crate::{ConfigId, time::Month, token::Class, wire::List};

/// Blocks, mutes and frees queue configs of the calling client.
pub struct UpdateBlocklist;

impl Endpoint for UpdateBlocklist {
    const DESCRIPTION: Description = Description::new(0x020d, ServiceName::Qs, "update_blocklist")
        .local()
        .signed_by(SenderKind::QsClient)
        .costs(Class::Standard);
    type Request = UpdateBlocklistRequest;
    type Reply = Empty;
}

/// Changes of the blocklist.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct UpdateBlocklistRequest {
    /// Applied in order, all or none; 1 to 256.
    pub changes: List<RuleChange, MAX_RULE_CHANGES>,
}

/// What is to become of messages that come through one queue config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct RuleChange {
    /// The config's id.
    pub config: ConfigId,
    /// What becomes of them.
    pub rule: ConfigRule,
    /// The last month in which the rule holds; at most 24 months ahead. Of no meaning where the config is freed.
    pub expires: Month,
}

/// What becomes of messages that come through a queue config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum ConfigRule {
    /// They are stored and pushed, as if there were no rule.
    Free = 1,
    /// They are stored, and never pushed.
    Muted = 2,
    /// They are told as delivered, and neither stored nor pushed.
    Blocked = 3,
}

/// Changes in one call: a body's worth would take long.
pub const MAX_RULE_CHANGES: usize = 256;
