//! Whom a message reaches: the checks of 06, "Delivery", for each recipient.

use std::sync::Arc;

use bytes::Bytes;
use phoenix_core::{
    Fqdn, MAX_PART, QsClientId, Reject, Timestamp,
    api::{
        ServiceName,
        delivery::UndeliveredRequest,
        federation::RecipientResult,
        queue::{DeliverRequest, MAX_BACK},
    },
    crypto::AtRestKey,
    operation::{Context, Delivery},
    time::Month,
    wire::{List, Opaque, Wire},
};

use crate::{
    config_cache::OpenedConfig,
    keys::Closed,
    record::{ClientRecord, QueueRecord},
    service::QueueService,
};

/// A recipient, as far as its queue config tells.
pub(crate) enum Target {
    /// It names a queue; whether rightly, the queue's client record tells.
    Queue(Arc<OpenedConfig>),
    /// It leads nowhere.
    Gone,
    /// It may lead somewhere, but not now.
    Later,
}

/// A queue that a message may reach, as it was found.
pub(crate) struct Reached {
    pub(crate) client: QsClientId,
    pub(crate) record: ClientRecord,
    pub(crate) queue: QueueRecord,
}

/// Opens the recipients' queue configs: of as many as fit into one batch.
pub(crate) fn targets(request: &DeliverRequest, cx: &Context<QueueService>) -> Vec<Target> {
    let is_remote = request.source != cx.domain;
    let target = |recipient| match cx.keys.service.open_config(recipient) {
        Ok(config) if is_for(&config, &request.source, cx.now) => Target::Queue(config),
        // Another replica may know it already. What this homeserver itself sends waits for no key.
        Err(Closed::UnknownKey) if is_remote => Target::Later,
        Ok(_) | Err(Closed::UnknownKey | Closed::Bad) => Target::Gone,
    };
    request.message.recipients.iter().take(MAX_PART).map(target).collect()
}

/// The clients that are named, each once.
pub(crate) fn clients(targets: &[Target]) -> Vec<QsClientId> {
    let mut clients = Vec::with_capacity(targets.len());
    for target in targets {
        if let Target::Queue(config) = target
            && !clients.contains(&config.payload().client)
        {
            clients.push(config.payload().client);
        }
    }
    clients
}

/// Whether a client record stands behind a config.
pub(crate) fn is_genuine(config: &OpenedConfig, record: &ClientRecord) -> bool {
    let mut keys = std::iter::once(&record.auth_key).chain(record.former_keys.iter());
    config.payload().generation >= record.min_generation && keys.any(|key| config.verify(key).is_ok())
}

/// The keyed hashes of a recipient's queue config and of this delivery, where it came from another homeserver.
pub(crate) fn held_as(
    request: &DeliverRequest,
    place: usize,
    cx: &Context<QueueService>,
) -> Option<([u8; 16], [u8; 16])> {
    // What comes from a lane of this homeserver is not sent again, so nothing need wait for it.
    let part = request.receipt.as_ref().filter(|_| request.source != cx.domain)?;
    let recipient = request.message.recipients.get(place)?;
    let key = &cx.keys.at_rest;
    let config = key.prf("held config", &recipient.config.encode()).first_chunk().copied()?;
    Some((config, key.prf("held delivery", part).first_chunk().copied()?))
}

/// Tells the DS of this homeserver which queue configs lead nowhere (07), in as many messages as it takes.
pub(crate) fn undelivered(
    domain: &Fqdn,
    lane: Bytes,
    back: &Opaque<MAX_BACK>,
    gone: &[[u8; 32]],
) -> Result<Vec<Delivery>, Reject> {
    let mut deliveries = Vec::new();
    for gone in gone.chunks(MAX_PART).filter(|_| !back.is_empty()) {
        let body = UndeliveredRequest { back: back.clone(), gone: List::new(gone.to_vec())? }.encode();
        let (to, lane, back) = (domain.clone(), lane.clone(), Bytes::new());
        deliveries.push(Delivery { to, service: ServiceName::Ds, lane, back, body });
    }
    Ok(deliveries)
}

/// The lane of what is told to one address.
pub(crate) fn lane_back(key: &AtRestKey, back: &[u8]) -> Bytes {
    key.prf("lane back", back).to_vec().into()
}

/// The digests of the recipients with this result.
pub(crate) fn digests(
    request: &DeliverRequest,
    results: &[RecipientResult],
    of: RecipientResult,
) -> Vec<[u8; 32]> {
    let recipients = request.message.recipients.iter().zip(results);
    recipients.filter(|(_, result)| **result == of).map(|(recipient, _)| recipient.config.digest()).collect()
}

fn is_for(config: &OpenedConfig, source: &Fqdn, now: Timestamp) -> bool {
    let payload = config.payload();
    payload.audience.as_ref().is_none_or(|audience| audience == source) && Month::of(now) <= payload.expires
}
