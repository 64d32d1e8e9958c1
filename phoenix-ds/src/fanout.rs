//! What goes to the queues of members (07, "Delivery").

use std::collections::BTreeMap;

use bytes::Bytes;
use phoenix_core::{
    Fqdn, Reject,
    api::{
        ServiceName,
        delivery::{GroupAccess, GroupContent},
        queue::{ClientQueueConfig, FanOutMessage, MAX_ENTRY, MAX_RECIPIENTS, NotifyClass, Recipient},
    },
    crypto::Chance,
    group::ContentHead,
    operation::{Context, Delivery, Local},
    wire::{Flag, List, Opaque, Secret, Wire},
};

use crate::{kinds, service::DeliveryService};

/// Collects the deliveries of one decision, all on the group's lane.
pub(crate) struct FanOut {
    own: Fqdn,
    ear_key: Secret<32>,
    lane: Bytes,
    back: Bytes,
    now: u64,
    chance: Chance,
    deliveries: Vec<Delivery>,
}

impl FanOut {
    /// Begins with nothing.
    pub(crate) fn new(access: &GroupAccess, at: &Local, cx: &Context<DeliveryService>) -> Self {
        let mut chance = cx.chance("fan-out");
        Self {
            own: cx.domain.clone(),
            ear_key: access.ear_key.clone(),
            lane: kinds::lane(&cx.keys.at_rest, &access.group),
            back: cx.keys.at_rest.seal(BACK, &at.key, &mut chance),
            now: cx.now.as_secs(),
            chance,
            deliveries: Vec::new(),
        }
    }

    /// Adds a message for members: one delivery for each domain, which names that domain's recipients alone; of this
    /// domain's, at most 60 each. Nothing of what two domains get is equal.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] for content over the bound of queues.
    pub(crate) fn send<'a>(
        &mut self,
        urgency: Urgency,
        content: &GroupContent,
        to: impl Iterator<Item = &'a ClientQueueConfig>,
    ) -> Result<(), Reject> {
        let mut domains: BTreeMap<&Fqdn, Vec<Recipient>> = BTreeMap::new();
        for config in to {
            domains.entry(&config.domain).or_default().push(recipient(config));
        }
        let head = self.head(urgency);
        for (domain, mut recipients) in domains {
            // The order of leaves is the group's business.
            recipients.sort_by_cached_key(|it| it.config.sealed.enc.bytes());
            let sealed = head.seal(&self.ear_key, content, &mut self.chance)?;
            let most = if *domain == self.own { MAX_LOCAL } else { MAX_RECIPIENTS };
            for part in recipients.chunks(most) {
                self.push(domain, head, part.to_vec(), sealed.clone())?;
            }
        }
        Ok(())
    }

    /// Adds a message for one queue that is sealed already.
    ///
    /// # Errors
    /// None that occurs: one recipient fits.
    pub(crate) fn send_sealed(
        &mut self,
        urgency: Urgency,
        content: Opaque<MAX_ENTRY>,
        to: &ClientQueueConfig,
    ) -> Result<(), Reject> {
        self.push(&to.domain, self.head(urgency), vec![recipient(to)], content)
    }

    /// Randomness for what is sealed beforehand.
    pub(crate) const fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }

    /// What was collected, in order.
    pub(crate) fn into_deliveries(self) -> Vec<Delivery> {
        self.deliveries
    }

    fn head(&self, urgency: Urgency) -> ContentHead {
        ContentHead { notify: urgency.notify, ephemeral: urgency.ephemeral, accepted_at: self.now }
    }

    fn push(
        &mut self,
        to: &Fqdn,
        head: ContentHead,
        recipients: Vec<Recipient>,
        content: Opaque<MAX_ENTRY>,
    ) -> Result<(), Reject> {
        let ContentHead { notify, ephemeral, accepted_at } = head;
        let recipients = List::new(recipients)?;
        let message = FanOutMessage { notify, ephemeral, accepted_at, recipients, content };
        self.deliveries.push(Delivery {
            to: to.clone(),
            service: ServiceName::Qs,
            lane: self.lane.clone(),
            back: self.back.clone(),
            body: message.encode(),
        });
        Ok(())
    }
}

/// How a message is to be treated by queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Urgency {
    /// Whether it wakes somebody up.
    pub(crate) notify: NotifyClass,
    /// Whether it goes to open streams only.
    pub(crate) ephemeral: Flag,
}

impl Urgency {
    /// For commits: kept, and nobody is woken up.
    pub(crate) const SILENT: Self = Self { notify: NotifyClass::Silent, ephemeral: Flag::No };
    /// For invitations.
    pub(crate) const NORMAL: Self = Self { notify: NotifyClass::Normal, ephemeral: Flag::No };
}

/// The partition of the group that a message came from.
///
/// # Errors
/// [`Reject::NotFound`] where this DS did not make the address.
pub(crate) fn returned(back: &[u8], cx: &Context<DeliveryService>) -> Result<Local, Reject> {
    let key = cx.keys.at_rest.open(BACK, back).map_err(|_| Reject::NotFound)?;
    Ok(Local::new(kinds::GROUP, key.to_vec()))
}

fn recipient(config: &ClientQueueConfig) -> Recipient {
    Recipient { any: config.any, config: config.sealed.clone() }
}

/// Under which return addresses are sealed.
const BACK: &[u8] = b"return address";
/// Queues of this homeserver in one message: as many as fit one batch (architecture, "Durable and lossy").
const MAX_LOCAL: usize = 60;

#[cfg(test)]
mod tests;
