//! Hands on messages for open streams: to the queues of this homeserver at once, to other homeservers in transactions of
//! their own, beside their mailboxes. Nothing is kept, and nothing is tried twice.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    pin::pin,
};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use phoenix_core::{
    Failure, Fqdn,
    api::{
        federation::MAX_DELIVERIES,
        queue::{DeliverRequest, FanOutMessage},
    },
    operation::Fare,
    wire::{List, Opaque},
};
use phoenix_qs::op::{
    deliver::Deliver,
    whisper::{Whisper, WhisperRequest},
};

use crate::{homeserver::Inner, mailbox::post};

/// Hands on what comes, until it is dropped. While something is on its way to a homeserver, what comes for the same one
/// waits, and goes together; so a slow one costs others nothing, and itself no more than what waited too long.
pub(crate) async fn hand_on(inner: &Inner) {
    let mut outlets = Outlets::default();
    let mut under_way = FuturesUnordered::new();
    loop {
        let mut next = pin!(inner.shared.ephemeral().next().fuse());
        let load = futures::select_biased! {
            domain = under_way.select_next_some() => outlets.after(domain),
            (domain, message) = next => outlets.give(domain, message),
        };
        under_way.extend(load.map(|load| sent(inner, load)));
    }
}

/// The homeservers to which something is under way, and what waits for each of them: in all, no more than is bounded
/// here, since a homeserver may take its time for as many messages as it likes.
#[derive(Default)]
struct Outlets(BTreeMap<Fqdn, Outlet>);

#[derive(Default)]
struct Outlet {
    /// Bytes of what is under way.
    under_way: usize,
    waiting: Vec<FanOutMessage>,
    /// Bytes of what waits.
    bytes: usize,
}

/// Messages that are to be sent together.
struct Load {
    domain: Fqdn,
    messages: Vec<FanOutMessage>,
}

impl Outlets {
    /// Takes a message: what is to be sent now, if anything. What there is no room for is lost.
    fn give(&mut self, domain: Fqdn, message: FanOutMessage) -> Option<Load> {
        let bytes = message.size();
        if self.bytes().saturating_add(bytes) > MAX_BYTES {
            return None;
        }
        let count = self.0.len();
        match self.0.entry(domain) {
            Entry::Occupied(outlet) => {
                let outlet = outlet.into_mut();
                let is_full = outlet.waiting.len() >= MAX_WAITING
                    || outlet.bytes.saturating_add(bytes) > MAX_WAITING_BYTES;
                if !is_full {
                    outlet.bytes = outlet.bytes.saturating_add(bytes);
                    outlet.waiting.push(message);
                }
                None
            }
            Entry::Vacant(_) if count >= MAX_UNDER_WAY => None,
            Entry::Vacant(place) => {
                let domain = place.key().clone();
                place.insert(Outlet { under_way: bytes, ..Outlet::default() });
                Some(Load { domain, messages: vec![message] })
            }
        }
    }

    /// What is under way to a homeserver has come to an end: what has waited for that.
    fn after(&mut self, domain: Fqdn) -> Option<Load> {
        let Outlet { waiting: messages, bytes, .. } = self.0.remove(&domain)?;
        if messages.is_empty() {
            return None;
        }
        self.0.insert(domain.clone(), Outlet { under_way: bytes, ..Outlet::default() });
        Some(Load { domain, messages })
    }

    fn bytes(&self) -> usize {
        let each = self.0.values().map(|outlet| outlet.under_way.saturating_add(outlet.bytes));
        each.fold(0, usize::saturating_add)
    }
}

async fn sent(inner: &Inner, Load { domain, messages }: Load) -> Fqdn {
    let outcome = if domain == *inner.shared.domain() {
        deliver(inner, messages).await
    } else {
        send(inner, &domain, messages).await
    };
    if let Err(Failure::Broken(fault)) = outcome {
        tracing::warn!(%fault, "an ephemeral message was lost");
    }
    domain
}

async fn deliver(inner: &Inner, messages: Vec<FanOutMessage>) -> Result<(), Failure> {
    let source = inner.shared.domain();
    let parts = messages.iter().flat_map(FanOutMessage::parts);
    each(parts, |message| {
        let source = source.clone();
        let request = DeliverRequest { source, receipt: None, back: Opaque::default(), share: 0, message };
        inner.queue.internal::<Deliver>(request, Fare::Free)
    })
    .await
}

/// Delivers each message by itself: that one is refused is no reason for others to be lost, which are of other groups.
/// Says what was wrong with the first that was not delivered.
async fn each<T, D: Future<Output = Result<T, Failure>>>(
    messages: impl Iterator<Item = FanOutMessage>,
    deliver: impl Fn(FanOutMessage) -> D,
) -> Result<(), Failure> {
    let mut outcome = Ok(());
    for message in messages {
        let delivered = deliver(message).await;
        outcome = outcome.and(delivered.map(drop));
    }
    outcome
}

async fn send(inner: &Inner, domain: &Fqdn, messages: Vec<FanOutMessage>) -> Result<(), Failure> {
    let (delays, now) = (inner.shared.delays(), inner.shared.ports().clock.now());
    if !delays.towards([domain], now).is_empty() {
        return Ok(());
    }
    // As many as were let in.
    let messages = List::new(messages).unwrap_or_default();
    let request = WhisperRequest { to: domain.clone(), messages };
    let reply = inner.queue.internal::<Whisper>(request, Fare::Free).await?;
    if let Some(transaction) = reply.transaction {
        // Whatever comes of it: nobody waits for it, and the mailbox finds out by itself who is there.
        let _ = post(inner, domain, transaction).await;
    }
    Ok(())
}

/// Messages that wait for one homeserver's transaction to come back: those of one more.
const MAX_WAITING: usize = MAX_DELIVERIES;
/// Bytes of them: as many as one transaction takes (08).
const MAX_WAITING_BYTES: usize = 2 << 20;
/// Homeservers to which something is under way at a time.
const MAX_UNDER_WAY: usize = 64;
/// Bytes that wait or are under way, to all homeservers together: some hundred bytes a message are common, so it is room
/// for all of them, and a group whose members' homeservers are slow on purpose costs no more.
const MAX_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::{future::ready, sync::Mutex};

    use futures::executor::block_on;
    use phoenix_core::{
        Fqdn, Reject,
        api::queue::{FanOutMessage, NotifyClass},
        wire::{Flag, List, Opaque},
    };

    use super::{MAX_BYTES, MAX_UNDER_WAY, MAX_WAITING, Outlets, each};

    #[test]
    fn what_comes_while_something_is_under_way_waits_and_goes_together() {
        let mut outlets = Outlets::default();

        assert_eq!(outlets.give(domain(1), message(10)).unwrap().messages, [message(10)]);
        assert!(outlets.give(domain(1), message(11)).is_none());
        assert!(outlets.give(domain(1), message(12)).is_none());
        assert_eq!(outlets.give(domain(2), message(20)).unwrap().domain, domain(2));

        assert_eq!(outlets.after(domain(1)).unwrap().messages, [message(11), message(12)]);
        assert!(outlets.after(domain(1)).is_none());
        assert!(outlets.after(domain(2)).is_none());
        assert_eq!(outlets.bytes(), 0);
    }

    #[test]
    fn a_message_that_is_refused_takes_no_other_with_it() {
        let delivered = Mutex::new(Vec::new());
        let deliver = |message: FanOutMessage| {
            let length = message.content.len();
            let outcome = if length == 2 { Err(Reject::TooLarge("recipients").into()) } else { Ok(()) };
            delivered.lock().unwrap().push(length);
            ready(outcome)
        };

        let outcome = block_on(each([1, 2, 3].map(message).into_iter(), deliver));

        assert_eq!(outcome, Err(Reject::TooLarge("recipients").into()));
        assert_eq!(*delivered.lock().unwrap(), [1, 2, 3]);
    }

    #[test]
    fn slow_homeservers_have_boundedly_many_messages_wait_for_them() {
        let mut outlets = Outlets::default();
        for _ in 0..=MAX_WAITING + 10 {
            outlets.give(domain(1), message(10));
        }
        assert_eq!(outlets.after(domain(1)).unwrap().messages.len(), MAX_WAITING);

        for number in 2..=MAX_UNDER_WAY {
            assert!(outlets.give(domain(number), message(10)).is_some());
        }
        assert!(outlets.give(domain(MAX_UNDER_WAY + 1), message(10)).is_none());
    }

    #[test]
    fn t20_slow_homeservers_have_boundedly_many_bytes_wait_for_them() {
        // given messages of 200 KiB for homeservers none of which answers
        let mut outlets = Outlets::default();
        for _ in 0..MAX_WAITING {
            for number in 0..MAX_UNDER_WAY {
                outlets.give(domain(number), message(200 << 10));
            }
        }

        // then little of it is kept, and what one takes is sent on
        assert!(outlets.bytes() <= MAX_BYTES);
        assert!(outlets.give(domain(0), message(200 << 10)).is_none());
        for number in 0..MAX_UNDER_WAY {
            while outlets.after(domain(number)).is_some() {}
        }
        assert_eq!(outlets.bytes(), 0);
        assert!(outlets.give(domain(0), message(200 << 10)).is_some());
    }

    fn domain(number: usize) -> Fqdn {
        format!("d{number}.test").parse().unwrap()
    }

    fn message(length: usize) -> FanOutMessage {
        FanOutMessage {
            notify: NotifyClass::Silent,
            ephemeral: Flag::Yes,
            accepted_at: 0,
            recipients: List::default(),
            content: Opaque::new(vec![7; length]).unwrap(),
        }
    }
}
