//! Sends what waits in mailboxes to other homeservers, and lets go of what has expired.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use phoenix_as::AuthService;
use phoenix_core::{
    Failure, Fault, Fqdn, Generation, Reject,
    api::{
        Endpoint, ServiceName,
        federation::{FederatedEnqueue, QsToQsReceipt, QsToQsTransaction},
    },
    engine::Ticker,
    operation::{Fare, Local, OnAlarm, Service},
    port::{Circuit, Outgoing, Space},
    wire::{Call, Opaque, VERSION, Wire},
};
use phoenix_ds::DeliveryService;
use phoenix_qs::{
    QueueService,
    op::{
        dispatch::{Dispatch, DispatchRequest, Dispatched},
        greet::Greet,
        resume::{Resume, ResumeRequest},
        settle::{Outcome, Settle, SettleRequest},
    },
};

use crate::{homeserver::Inner, notices};

/// Does what alarms ask for: of all that is kept, only mailboxes and notices ask for more than being dropped.
pub(crate) struct Mailboxes {
    inner: Arc<Inner>,
    /// Domains that did not answer last time; a few for each peer that is down.
    cut_off: Mutex<BTreeSet<Fqdn>>,
    /// Where the store was ever restored: domains that were greeted since this process began.
    greeted: Mutex<BTreeSet<Fqdn>>,
}

impl Mailboxes {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self { inner, cut_off: Mutex::default(), greeted: Mutex::default() }
    }

    /// Sends the next transaction of a mailbox.
    async fn send(&self, mailbox: [u8; 32]) -> Result<(), Failure> {
        let request = DispatchRequest { mailbox };
        let reply = match self.inner.queue.internal::<Dispatch>(request, Fare::Free).await {
            Ok(reply) => reply,
            Err(Failure::Refused(refusal)) => {
                // The destination's keys could not be had.
                let rest = match refusal.reject {
                    Reject::Unavailable(seconds) => seconds,
                    _ => 0,
                };
                let settled = SettleRequest {
                    mailbox,
                    transaction: None,
                    rows: Default::default(),
                    outcome: Outcome::Failed(rest),
                };
                return self.inner.queue.internal::<Settle>(settled, Fare::Free).await.map(drop);
            }
            Err(failure) => return Err(failure),
        };
        let Some(Dispatched { destination, transaction, rows }) = reply.dispatched else { return Ok(()) };
        let id = transaction.payload.transaction;
        let outcome = self.sent(&destination, transaction).await;
        let answered = matches!(outcome, Outcome::Receipt(_));
        let was_cut_off = self.note(&destination, &outcome);
        let settled = SettleRequest { mailbox, transaction: Some(id), rows, outcome };
        self.inner.queue.internal::<Settle>(settled, Fare::Free).await?;
        if answered && (was_cut_off || self.is_new(&destination)) {
            greet(&self.inner, &destination).await;
        }
        Ok(())
    }

    /// Sends a transaction, and says what came of it. A delivery that is refused alone is bad only where the destination
    /// takes an empty transaction: whoever refuses everything must not cost one message after the other.
    async fn sent(&self, destination: &Fqdn, transaction: QsToQsTransaction) -> Outcome {
        let is_alone = transaction.payload.deliveries.len() == 1;
        match post(&self.inner, destination, transaction).await {
            Outcome::Refused if is_alone && !greet(&self.inner, destination).await => Outcome::Failed(0),
            Outcome::Refused if is_alone => {
                tracing::warn!("a homeserver refuses a delivery as bad: it is set aside");
                Outcome::Refused
            }
            outcome => outcome,
        }
    }

    /// Whether the store was restored, and this domain was not greeted since this process began: it was cut off meanwhile,
    /// whether anybody noticed or not (09).
    fn is_new(&self, domain: &Fqdn) -> bool {
        let mut greeted = self.greeted.lock().unwrap_or_else(PoisonError::into_inner);
        let was_restored = self.inner.queue.ring().generation != Generation::default();
        was_restored && greeted.len() < MAX_CUT_OFF && greeted.insert(domain.clone())
    }

    /// Remembers who does not answer. True where somebody answers who did not.
    fn note(&self, domain: &Fqdn, outcome: &Outcome) -> bool {
        let mut cut_off = self.cut_off.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Receipt(_) => cut_off.remove(domain),
            // It is there; it is greeted when it takes something.
            Outcome::Refused => false,
            Outcome::Failed(_) => {
                if cut_off.len() < MAX_CUT_OFF {
                    cut_off.insert(domain.clone());
                }
                false
            }
        }
    }
}

#[async_trait]
impl Ticker for Mailboxes {
    fn on_alarm(&self, space: Space, kind: u8) -> OnAlarm {
        match space {
            Space::As => AuthService::on_alarm(kind),
            Space::Qs => QueueService::on_alarm(kind),
            Space::Ds => DeliveryService::on_alarm(kind),
            Space::Spent | Space::Lane | Space::Peers => OnAlarm::Drop,
        }
    }

    async fn tick(&self, space: Space, at: Local) -> Result<(), Failure> {
        match (space, at.kind, <[u8; 32]>::try_from(at.key.as_ref())) {
            (Space::Qs, phoenix_qs::MAILBOX, Ok(mailbox)) => self.send(mailbox).await,
            (Space::Qs, phoenix_qs::LATER, Ok(mailbox)) => {
                self.inner.queue.internal::<Resume>(ResumeRequest { mailbox }, Fare::Free).await.map(drop)
            }
            (Space::As, phoenix_as::NOTICES, Ok(mailbox)) => notices::send(&self.inner, mailbox).await,
            _ => Err(Fault::Broken("an alarm that nobody serves").into()),
        }
    }
}

/// Tells a homeserver that this one is there, and waits for what it holds.
pub(crate) async fn greet(inner: &Inner, domain: &Fqdn) -> bool {
    match inner.queue.internal::<Greet>(domain.clone(), Fare::Free).await {
        Ok(transaction) => matches!(post(inner, domain, transaction).await, Outcome::Receipt(_)),
        Err(_) => false,
    }
}

/// Sends a transaction, once.
pub(crate) async fn post(inner: &Inner, to: &Fqdn, transaction: QsToQsTransaction) -> Outcome {
    let id = transaction.payload.transaction;
    let Ok(body) = Opaque::new(transaction.encode()) else { return Outcome::Refused };
    let description = FederatedEnqueue::DESCRIPTION;
    let call = Call { version: VERSION, endpoint: description.id, auth: None, token: None, body };
    let outgoing =
        Outgoing { service: ServiceName::Qs, name: description.name, call, circuit: Circuit::default() };
    match inner.shared.ports().transport.send(to, outgoing).await {
        Ok(Ok(receipt)) => match QsToQsReceipt::decode(&receipt) {
            Ok(receipt) if receipt.transaction == id => Outcome::Receipt(Box::new(receipt)),
            Ok(_) | Err(_) => Outcome::Failed(0),
        },
        Ok(Err(refused)) => refused.into(),
        Err(_) => Outcome::Failed(0),
    }
}

/// Domains remembered as cut off, or as greeted: those beyond are greeted by nobody, and find out by themselves.
const MAX_CUT_OFF: usize = 1_024;
