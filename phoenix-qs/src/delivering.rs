//! Whom a message reaches: the checks of 06, "Delivery", for each recipient.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use phoenix_core::{
    ConfigId, Failure, Fqdn, MAX_PART, QsClientId, Reject, Timestamp,
    api::{
        ServiceName,
        delivery::{MAX_UNDELIVERED, Undeliverable, UndeliveredRequest},
        federation::RecipientResult,
        queue::{
            ConfigRule, DeliverRequest, FanOutMessage, MAX_BACK, NotifyClass, QueueConfigTbs, SealedPushToken,
        },
    },
    crypto::AtRestKey,
    limit::{Limit, Load},
    operation::{Context, Delivery, Local, PushHint, Rows},
    port::{Urgency, Wanted},
    time::{MINUTE, Month},
    wire::{List, Opaque, Wire},
};

use crate::{
    config_cache::OpenedConfig,
    keys::Closed,
    kinds::{PUSH, QUEUE, RECORD, RULE, stream_topic},
    record::{ClientRecord, QueueRecord, RuleRecord, from_row, read_row},
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
    /// What is to become of messages through some of its configs, where that is not the usual.
    rules: BTreeMap<ConfigId, ConfigRule>,
    push_token: Option<SealedPushToken>,
}

impl Target {
    const fn config(&self) -> Option<&Arc<OpenedConfig>> {
        match self {
            Self::Queue(config) => Some(config),
            Self::Gone | Self::Later => None,
        }
    }
}

impl Reached {
    /// A client as it was found at a place; none where there is no such client any more.
    ///
    /// # Errors
    /// A fault where the rows are not what was written.
    pub(crate) fn open(
        client: QsClientId,
        found: &Rows,
        place: usize,
        now: Timestamp,
    ) -> Result<Option<Self>, Failure> {
        let (record, queue) = (found.row(place, &RECORD)?, found.row(place, &QUEUE)?);
        let Some((record, queue)) = record.zip(queue) else { return Ok(None) };
        let Some(record) = from_row::<ClientRecord>(record)?.current(now) else { return Ok(None) };
        let queue = from_row(queue)?;
        let push_token = read_row(found, place, &PUSH)?;
        let mut rules = BTreeMap::new();
        for (key, row) in found.rows(place)? {
            let Some(Ok(config)) = key.strip_prefix(RULE.as_ref()).map(ConfigId::decode) else { continue };
            let rule: RuleRecord = from_row(row)?;
            if rule.holds(now) {
                rules.insert(config, rule.rule);
            }
        }
        Ok(Some(Self { client, record, queue, rules, push_token }))
    }

    /// What is to become of messages through a config.
    pub(crate) fn rule(&self, config: &ConfigId) -> ConfigRule {
        self.rules.get(config).copied().unwrap_or(ConfigRule::Free)
    }

    /// The push for a message that has come through a config, where the client wants one: it has left a push token, the
    /// config brings its key, and neither the sender nor the client says that it need not be woken.
    pub(crate) fn push(
        &self,
        config: &QueueConfigTbs,
        notify: NotifyClass,
        key: &AtRestKey,
    ) -> Option<PushHint> {
        let urgency = match notify {
            NotifyClass::Silent => return None,
            NotifyClass::Normal => Urgency::Normal,
            NotifyClass::Urgent => Urgency::High,
        };
        if self.rule(&config.config) != ConfigRule::Free {
            return None;
        }
        let (token, secret) = self.push_token.clone().zip(config.push_key.clone())?;
        let budget = Load::new(Limit::Pushes, (self.client, config.config).encode(), 1);
        let unless = stream_topic(key, &self.client);
        Some(PushHint { client: self.client, token, key: secret, urgency, budget, unless })
    }
}

/// The queues that a message may reach, each once, in the order of their clients, and the rows that are wanted there: with
/// the push token, where a message is pushed at all.
pub(crate) fn wanted(targets: &[Target], message: &FanOutMessage) -> Vec<(Local, Wanted)> {
    let is_pushed = message.notify != NotifyClass::Silent && !message.ephemeral.is_set();
    let of_queue: &[_] = if is_pushed { &[PUSH, QUEUE, RECORD] } else { &[QUEUE, RECORD] };
    let wanted = |configs: &[&Arc<OpenedConfig>]| {
        let rules = configs.iter().map(|config| config.rule().clone());
        // In the order in which they lie there.
        let keys = of_queue.iter().cloned().chain(rules).collect();
        configs.first().map(|config| (config.at().clone(), Wanted::Keys(keys)))
    };
    let configs = configs(targets);
    configs.chunk_by(|one, other| one.payload().client == other.payload().client).filter_map(wanted).collect()
}

/// Opens the recipients' queue configs: of as many as fit into one batch.
pub(crate) fn targets(request: &DeliverRequest, cx: &Context<QueueService>) -> Vec<Target> {
    let is_remote = request.source != cx.domain;
    let target = |recipient| match cx.keys.service.open_config(recipient, &cx.keys.at_rest) {
        Ok(config) if is_for(&config, &request.source, cx.now) => Target::Queue(config),
        // Another replica may know it already. What this homeserver itself sends waits for no key.
        Err(Closed::UnknownKey) if is_remote => Target::Later,
        Ok(_) | Err(Closed::UnknownKey | Closed::Bad) => Target::Gone,
    };
    request.message.recipients.iter().take(MAX_PART).map(target).collect()
}

/// The clients that are named, each once, in the order in which their rows are wanted.
pub(crate) fn clients(targets: &[Target]) -> Vec<QsClientId> {
    let mut clients: Vec<_> = configs(targets).into_iter().map(|config| config.payload().client).collect();
    clients.dedup();
    clients
}

/// The configs that opened, by their clients and ids.
fn configs(targets: &[Target]) -> Vec<&Arc<OpenedConfig>> {
    let mut configs: Vec<_> = targets.iter().filter_map(Target::config).collect();
    configs.sort_unstable_by_key(|config| (config.payload().client, config.payload().config));
    configs
}

/// Whether a client record stands behind a config.
pub(crate) fn is_genuine(config: &OpenedConfig, record: &ClientRecord) -> bool {
    let keys = || record.keys_for(config.payload());
    // A signature that was checked is checked no more, whichever key it was.
    keys().any(|key| config.is_verified_by(key)) || keys().any(|key| config.verify(key).is_ok())
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

/// Tells the DS of this homeserver which queue configs a message did not reach, and why (07, 08), in as many messages
/// as it takes. It may hear late, so it is also told when that was seen, as finely as it must tell hours apart.
pub(crate) fn undelivered(
    cx: &Context<QueueService>,
    lane: Bytes,
    back: &Opaque<MAX_BACK>,
    (cause, queues): (Undeliverable, &[[u8; 32]]),
) -> Result<Vec<Delivery>, Reject> {
    let seen_at = cx.now.as_secs().div_euclid(MINUTE).saturating_mul(MINUTE);
    let mut deliveries = Vec::new();
    for queues in queues.chunks(MAX_UNDELIVERED).filter(|_| !back.is_empty()) {
        let queues = List::new(queues.to_vec())?;
        let body = UndeliveredRequest { back: back.clone(), cause, seen_at, queues }.encode();
        let (to, lane, back) = (cx.domain.clone(), lane.clone(), Bytes::new());
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
