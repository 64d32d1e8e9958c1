//! What goes to the queues of members (07, "Delivery").

use std::collections::BTreeMap;

use bytes::Bytes;
use phoenix_core::{
    Fqdn, LeafIndex, Reject,
    api::{
        ServiceName,
        delivery::{ContentKind, GroupAccess, GroupContent, Proposals},
        queue::{ClientQueueConfig, FanOutMessage, MAX_ENTRY, NotifyClass, Recipient},
    },
    crypto::Chance,
    group::ContentHead,
    operation::{Context, Decision, Delivery, Hint, Local},
    port::{Alarm, MAX_BATCH_BYTES, MAX_VALUE, Write},
    wire::{Flag, List, Opaque, Secret, Wire},
};

use crate::{kinds, roster::Member, service::DeliveryService};

/// Collects the deliveries of one decision, all on the group's lane; or hints, where a message is ephemeral.
pub(crate) struct FanOut {
    ear_key: Secret<32>,
    lane: Bytes,
    back: Bytes,
    now: u64,
    chance: Chance,
    ephemeral: Flag,
    deliveries: Vec<Delivery>,
    hints: Vec<Hint>,
    bytes: usize,
}

impl FanOut {
    /// Begins with nothing.
    pub(crate) fn new(access: &GroupAccess, at: &Local, cx: &Context<DeliveryService>) -> Self {
        let mut chance = cx.chance("fan-out");
        Self {
            ear_key: access.ear_key.clone(),
            lane: kinds::lane(&cx.keys.at_rest, &access.group),
            back: cx.keys.at_rest.seal(BACK, at.key(), &mut chance),
            now: cx.now.as_secs(),
            chance,
            ephemeral: Flag::No,
            deliveries: Vec::new(),
            hints: Vec::new(),
            bytes: 0,
        }
    }

    /// The same for what is not kept: it goes to open streams, and is on no lane.
    pub(crate) fn ephemeral(access: &GroupAccess, at: &Local, cx: &Context<DeliveryService>) -> Self {
        Self { ephemeral: Flag::Yes, ..Self::new(access, at, cx) }
    }

    /// Adds a message for members: one delivery for each domain, which names that domain's recipients alone. Nothing
    /// of what two domains get is equal. What one batch does not deliver is divided when it is delivered, not here:
    /// a copy for each few of a thousand queues is more than one batch takes.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] for content over the bound of queues, and where one batch does not take all of it: a
    /// large message to very many.
    pub(crate) fn send<'a>(
        &mut self,
        notify: NotifyClass,
        content: &GroupContent,
        to: impl Iterator<Item = &'a ClientQueueConfig>,
    ) -> Result<(), Reject> {
        let mut domains: BTreeMap<&Fqdn, Vec<Recipient>> = BTreeMap::new();
        for config in to {
            domains.entry(&config.domain).or_default().push(recipient(config));
        }
        let head = self.head(notify);
        for (domain, mut recipients) in domains {
            // The order of leaves is the group's business.
            recipients.sort_unstable_by(|one, other| one.config.sealed.enc.cmp(&other.config.sealed.enc));
            let sealed = head.seal(&self.ear_key, content, &mut self.chance)?;
            self.push(domain, head, recipients, sealed)?;
        }
        Ok(())
    }

    /// Adds proposals that were stored, for these members; nothing where there are none.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] as for [`FanOut::send`].
    pub(crate) fn propose<'a>(
        &mut self,
        proposals: &Proposals,
        sender: LeafIndex,
        to: impl IntoIterator<Item = &'a Member>,
    ) -> Result<(), Reject> {
        if proposals.is_empty() {
            return Ok(());
        }
        let message = Opaque::new(proposals.encode())?;
        let content = GroupContent { kind: ContentKind::Proposal, sender, message };
        self.send(NotifyClass::Silent, &content, to.into_iter().map(|member| &member.config))
    }

    /// Adds a message for one queue that is sealed already.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] as for [`FanOut::send`].
    pub(crate) fn send_sealed(
        &mut self,
        notify: NotifyClass,
        content: Opaque<MAX_ENTRY>,
        to: &ClientQueueConfig,
    ) -> Result<(), Reject> {
        self.push(&to.domain, self.head(notify), vec![recipient(to)], content)
    }

    /// Randomness for what is sealed beforehand.
    pub(crate) const fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }

    /// The decision that also changes a partition and delivers what was collected, in order.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] where one batch does not take all of it.
    pub(crate) fn decide<R>(
        self,
        decision: Decision<R>,
        at: Local,
        writes: Vec<Write>,
        alarm: Alarm,
    ) -> Result<Decision<R>, Reject> {
        let written = writes.iter().map(|write| match write {
            Write::Put(row, value) => row.len().saturating_add(value.len()),
            _ => MAX_ROW_OVERHEAD,
        });
        if written.fold(self.bytes, usize::saturating_add) > MAX_DECISION {
            return Err(TOO_LARGE);
        }
        Ok(self.deliveries.into_iter().fold(decision.change(at, writes, alarm), Decision::deliver))
    }

    /// The decision that also hints at what was collected of ephemeral messages.
    pub(crate) fn hint<R>(self, decision: Decision<R>) -> Decision<R> {
        self.hints.into_iter().fold(decision, Decision::hint)
    }

    fn head(&self, notify: NotifyClass) -> ContentHead {
        ContentHead { notify, ephemeral: self.ephemeral, accepted_at: self.now }
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
        let body = message.encode();
        self.bytes = self.bytes.saturating_add(body.len()).saturating_add(MAX_ROW_OVERHEAD);
        if body.len() > MAX_DELIVERY || self.bytes > MAX_DECISION {
            return Err(TOO_LARGE);
        }
        if self.ephemeral.is_set() {
            self.hints.push(Hint::Ephemeral { to: to.clone(), message: Box::new(message) });
            return Ok(());
        }
        let (to, lane, back) = (to.clone(), self.lane.clone(), self.back.clone());
        self.deliveries.push(Delivery { to, service: ServiceName::Qs, lane, back, body });
        Ok(())
    }
}

/// The partition of the group that a message came from.
///
/// # Errors
/// [`Reject::NotFound`] where this DS did not make the address.
pub(crate) fn returned(back: &[u8], cx: &Context<DeliveryService>) -> Result<Local, Reject> {
    let key = cx.keys.at_rest.open(BACK, back).map_err(|_| Reject::NotFound)?;
    Ok(Local::new(kinds::GROUP, &*key))
}

fn recipient(config: &ClientQueueConfig) -> Recipient {
    Recipient { any: config.any, config: config.sealed.clone() }
}

/// Under which return addresses are sealed.
const BACK: &[u8] = b"return address";
const TOO_LARGE: Reject = Reject::TooLarge("message");
/// Bytes of one delivery: as a row of a mailbox, and in a transaction, it is longer by seals, names and signatures.
const MAX_DELIVERY: usize = MAX_VALUE - (16 << 10);
/// Bytes of a decision: a batch, but for the little that its token and the marks of its partitions take.
pub(crate) const MAX_DECISION: usize = MAX_BATCH_BYTES - (64 << 10);
/// What a row of a lane takes beside the delivery's body: names, the return address, a seal.
const MAX_ROW_OVERHEAD: usize = 1 << 10;

#[cfg(test)]
mod tests;
