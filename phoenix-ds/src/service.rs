//! The delivery service as the driver knows it.

use phoenix_core::{
    api::{ServiceName, delivery::MAX_MEMBERS},
    operation::{OnAlarm, Service},
    port::Space,
};

use crate::{keys::DeliveryKeys, kinds};

/// The delivery service.
pub struct DeliveryService;

impl Service for DeliveryService {
    const NAME: ServiceName = ServiceName::Ds;
    const SPACE: Space = Space::Ds;
    type Keys = DeliveryKeys;
    type Settings = DeliverySettings;

    fn on_alarm(kind: u8) -> OnAlarm {
        kinds::on_alarm(kind)
    }
}

/// What the operator of a delivery service may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliverySettings {
    /// Members of a group at most; 1,000 by default, which is also the most that is possible (05).
    pub max_members: usize,
    /// Bytes of one application message at most, sealed by its sender; by default 255 KiB, which is also the most that is
    /// possible: a request has 256 KiB, and says more than the message (02, 05).
    pub max_message_bytes: usize,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self { max_members: MAX_MEMBERS, max_message_bytes: 255 << 10 }
    }
}
