//! Sends what waits in mailboxes to other homeservers, and lets go of what has expired.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, future::ready, stream};
use phoenix_as::AuthService;
use phoenix_core::{
    ErrorCode, ErrorReply, Failure, Fault, Fqdn, Refusal, Reject, Timestamp,
    api::{
        Endpoint, ServiceName,
        federation::{FederatedEnqueue, QsToQsReceipt, QsToQsTransaction},
    },
    engine::{Ticker, WaitsFor},
    operation::{Fare, Local, OnAlarm, Service},
    port::{Circuit, Outgoing, Space, TransportError, before},
    wire::{Call, Flag, Opaque, VERSION, Wire},
};
use phoenix_ds::DeliveryService;
use phoenix_qs::{
    QueueService,
    op::{
        dispatch::{Dispatch, DispatchRequest, Dispatched, GivenUp},
        greet::Greet,
        resume::{Resume, ResumeRequest},
        settle::{Outcome, Settle, SettleReply, SettleRequest},
    },
};

use crate::{homeserver::Inner, notices, standing::Standings, survey};

/// Does what alarms ask for: of all that is kept, only mailboxes and notices ask for more than being dropped.
pub(crate) struct Mailboxes {
    inner: Arc<Inner>,
    standings: Standings,
    /// Domains that did not answer last time; a few for each peer that is down.
    cut_off: Mutex<BTreeSet<Fqdn>>,
    /// Domains at which something broke, and whether they took other deliveries since.
    broke: Mutex<BTreeMap<Fqdn, Flag>>,
    /// Domains that were greeted since this process began.
    greeted: Mutex<BTreeSet<Fqdn>>,
}

impl Mailboxes {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        let (standings, cut_off, broke, greeted) = Default::default();
        Self { inner, standings, cut_off, broke, greeted }
    }

    fn now(&self) -> Timestamp {
        self.inner.shared.ports().clock.now()
    }

    /// Sends the next transaction of a mailbox.
    pub(crate) async fn send(&self, mailbox: [u8; 32]) -> Result<(), Failure> {
        let request = DispatchRequest { mailbox };
        let reply = match self.inner.queue.internal::<Dispatch>(request, Fare::Free).await {
            Ok(reply) => reply,
            Err(Failure::Refused(refusal)) => {
                // The destination's keys could not be had.
                self.standings.note(mailbox, false, self.now());
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
        if let Some(domain) = &reply.held {
            self.inner.federating.hold(mailbox);
            self.note(domain, &Outcome::Failed(0));
        }
        if let Some(GivenUp { destination, messages }) = &reply.given_up {
            self.note_given_up(destination, *messages);
        }
        let Some(Dispatched { destination, transaction, rows }) = reply.dispatched else { return Ok(()) };
        let id = transaction.payload.transaction;
        let outcome = self.sent(mailbox, &destination, transaction).await;
        // An empty transaction was a greeting.
        let answered = matches!(outcome, Outcome::Receipt(_)) && !rows.is_empty();
        self.standings.note(mailbox, matches!(outcome, Outcome::Receipt(_) | Outcome::Refused), self.now());
        let was_cut_off = self.note(&destination, &outcome);
        let settled = SettleRequest { mailbox, transaction: Some(id), rows, outcome };
        let SettleReply { set_aside, given_up } =
            self.inner.queue.internal::<Settle>(settled, Fare::Free).await?;
        self.note_given_up(&destination, given_up);
        if set_aside > 0 {
            self.inner.seen.note_set_aside(&destination);
            tracing::warn!(
                "a homeserver does not take a delivery, which is bad or breaks it: it is set aside"
            );
        }
        if answered && (was_cut_off || self.is_new(&destination)) {
            greet(&self.inner, &destination).await;
        }
        Ok(())
    }

    /// Sends a transaction, and says what came of it. A delivery that is refused alone, or that something breaks at, is
    /// bad only where the destination takes an empty transaction: whoever takes nothing must not cost one message after
    /// the other. So too with deliveries that get no answer twice: a proxy or a worker there may break at them.
    pub(crate) async fn sent(
        &self,
        mailbox: [u8; 32],
        destination: &Fqdn,
        transaction: QsToQsTransaction,
    ) -> Outcome {
        let deliveries = transaction.payload.deliveries.len();
        let posted = post(&self.inner, destination, transaction).await;
        self.inner.seen.note(destination, posted.as_ref().map(drop).map_err(GreetError::from));
        let is_silence = matches!(posted, Err(Unposted::Unreachable | Unposted::NoReceipt));
        let is_asked = is_silence && deliveries > 0 && !self.standings.answered_last(&mailbox);
        match posted.map_or_else(Outcome::from, Outcome::Receipt) {
            Outcome::Failed(_) if is_asked && greet_soon(&self.inner, destination).await => {
                Outcome::Broke(self.note_broke(destination))
            }
            Outcome::Refused | Outcome::Broke(_)
                if deliveries == 1 && !greet(&self.inner, destination).await =>
            {
                Outcome::Failed(0)
            }
            Outcome::Broke(_) => Outcome::Broke(self.note_broke(destination)),
            Outcome::Receipt(receipt) if deliveries > 0 => {
                self.note_took(destination);
                Outcome::Receipt(receipt)
            }
            outcome => outcome,
        }
    }

    /// Remembers that something broke at a domain, and tells whether it took other deliveries since that happened last.
    fn note_broke(&self, domain: &Fqdn) -> Flag {
        let mut broke = self.broke.lock().unwrap_or_else(PoisonError::into_inner);
        let others_pass = broke.insert(domain.clone(), Flag::No).unwrap_or(Flag::No);
        if broke.len() > MAX_CUT_OFF {
            // What is forgotten of it is noticed again at the next time.
            broke.pop_first();
        }
        others_pass
    }

    /// Remembers that a domain took deliveries, where something broke there before.
    fn note_took(&self, domain: &Fqdn) {
        let mut broke = self.broke.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(others_pass) = broke.get_mut(domain) {
            *others_pass = Flag::Yes;
        }
    }

    /// Greets those for which something waits, once and a few at a time: while no process ran, they were cut off (08).
    pub(crate) async fn greet_waiting(&self) {
        let domains = match survey::destinations(&self.inner).await {
            Ok(domains) => domains,
            Err(error) => {
                tracing::error!(%error, "it is not known whom to greet: each is greeted when it takes something");
                return;
            }
        };
        let are_dealt_with = |domain: &Fqdn| self.inner.shared.federation().outbox(domain).is_none();
        let greetings = domains.into_iter().filter(are_dealt_with).filter(|domain| self.is_new(domain));
        let greetings = greetings.map(|domain| async move { greet_soon(&self.inner, &domain).await });
        stream::iter(greetings).buffer_unordered(GREETED_AT_ONCE).for_each(|_| ready(())).await;
    }

    /// Whether this domain was not greeted since this process began: it was cut off before, whether anybody noticed or not.
    fn is_new(&self, domain: &Fqdn) -> bool {
        let mut greeted = self.greeted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = greeted.insert(domain.clone());
        if greeted.len() > MAX_GREETED {
            greeted.pop_first();
        }
        is_new
    }

    /// Tells the operator what is given up (08).
    fn note_given_up(&self, destination: &Fqdn, messages: u16) {
        if messages > 0 {
            self.inner.seen.note_given_up(destination, messages);
            tracing::warn!(
                %destination,
                messages,
                "a homeserver took nothing for too long: what waited longest for it is given up"
            );
        }
    }

    /// Remembers who does not answer. True where somebody answers who did not.
    fn note(&self, domain: &Fqdn, outcome: &Outcome) -> bool {
        let mut cut_off = self.cut_off.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Receipt(_) => cut_off.remove(domain),
            // It is there; it is greeted when it takes something.
            Outcome::Refused | Outcome::Broke(_) => false,
            Outcome::Failed(_) => {
                cut_off.insert(domain.clone());
                if cut_off.len() > MAX_CUT_OFF {
                    // One that is forgotten here is greeted as if it came for the first time.
                    let forgotten = cut_off.pop_first();
                    let mut greeted = self.greeted.lock().unwrap_or_else(PoisonError::into_inner);
                    forgotten.map(|domain| greeted.remove(&domain));
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

    fn waits_for(&self, space: Space, at: &Local) -> WaitsFor {
        match (space, at.kind()) {
            (Space::Qs, phoenix_qs::MAILBOX) => {}
            // Several homeservers are told, of which any may be silent.
            (Space::As, phoenix_as::NOTICES) => return WaitsFor::Silent,
            _ => return WaitsFor::Store,
        }
        let answers =
            <[u8; 32]>::try_from(at.key()).is_ok_and(|mailbox| self.standings.answers(&mailbox, self.now()));
        if answers { WaitsFor::Answering } else { WaitsFor::Silent }
    }

    async fn tick(&self, space: Space, at: Local) -> Result<(), Failure> {
        match (space, at.kind(), <[u8; 32]>::try_from(at.key())) {
            (Space::Qs, phoenix_qs::MAILBOX, Ok(mailbox)) => self.send(mailbox).await,
            (Space::Qs, phoenix_qs::LATER, Ok(mailbox)) => {
                self.inner.queue.internal::<Resume>(ResumeRequest { mailbox }, Fare::Free).await.map(drop)
            }
            (Space::As, phoenix_as::NOTICES, Ok(mailbox)) => notices::send(&self.inner, mailbox).await,
            _ => Err(Fault::Broken("an alarm that nobody serves").into()),
        }
    }
}

/// Why another homeserver was not greeted, or did not take anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GreetError {
    /// Nothing is sent to whose keys cannot be had (08).
    #[error("its published keys could not be had")]
    KeysUnknown,
    /// It did not answer.
    #[error("it gave no answer")]
    Unreachable,
    /// It answered with an error.
    #[error("it refused: {0:?}")]
    Refused(ErrorCode),
    /// Its answer was no receipt of what it was sent.
    #[error("its answer is no receipt")]
    NoReceipt,
}

/// Tells a homeserver that this one is there, and waits for what it holds.
pub(crate) async fn greet(inner: &Inner, domain: &Fqdn) -> bool {
    greeting(inner, domain).await.is_ok()
}

/// The same, where it answers soon: the mailbox waits for what comes of it.
async fn greet_soon(inner: &Inner, domain: &Fqdn) -> bool {
    let clock = &inner.shared.ports().clock;
    before(clock.now().plus_secs(SOON_S), clock.as_ref(), greet(inner, domain)).await.unwrap_or(false)
}

/// The same, and why it came to nothing.
pub(crate) async fn greeting(inner: &Inner, domain: &Fqdn) -> Result<(), GreetError> {
    let transaction = inner.queue.internal::<Greet>(domain.clone(), Fare::Free).await;
    let transaction = transaction.map_err(|_| GreetError::KeysUnknown)?;
    post(inner, domain, transaction).await.map(drop).map_err(|unposted| GreetError::from(&unposted))
}

/// Sends a transaction, once.
pub(crate) async fn post(
    inner: &Inner,
    to: &Fqdn,
    transaction: QsToQsTransaction,
) -> Result<Box<QsToQsReceipt>, Unposted> {
    let id = transaction.payload.transaction;
    match call(inner, to, transaction).await {
        Ok(Ok(receipt)) => receipt_of(id, &receipt).ok_or(Unposted::NoReceipt),
        Ok(Err(refused)) => Err(Unposted::Refused(refused)),
        Err(TransportError::Unreachable | TransportError::Busy) => Err(Unposted::Unreachable),
        Err(TransportError::Refused) => Err(Unposted::NoReceipt),
    }
}

/// Why there is no receipt of a transaction.
pub(crate) enum Unposted {
    Unreachable,
    Refused(ErrorReply),
    NoReceipt,
}

impl From<&Unposted> for GreetError {
    fn from(unposted: &Unposted) -> Self {
        match unposted {
            Unposted::Unreachable => Self::Unreachable,
            Unposted::Refused(refused) => Self::Refused(refused.code),
            Unposted::NoReceipt => Self::NoReceipt,
        }
    }
}

impl From<Unposted> for Outcome {
    fn from(unposted: Unposted) -> Self {
        match unposted {
            Unposted::Refused(refused) => refused.into(),
            Unposted::Unreachable | Unposted::NoReceipt => Self::Failed(0),
        }
    }
}

/// What the other side answers to a transaction.
async fn call(
    inner: &Inner,
    to: &Fqdn,
    transaction: QsToQsTransaction,
) -> Result<Result<Bytes, ErrorReply>, TransportError> {
    let Ok(body) = Opaque::new(transaction.encode()) else {
        return Ok(Err(Refusal::from(Reject::TooLarge("transaction")).into()));
    };
    let description = FederatedEnqueue::DESCRIPTION;
    let call = Call { version: VERSION, endpoint: description.id, auth: None, token: None, body };
    let outgoing =
        Outgoing { service: ServiceName::Qs, name: description.name, call, circuit: Circuit::default() };
    inner.shared.ports().transport.send(to, outgoing).await
}

/// The receipt of the transaction of this id.
fn receipt_of(id: [u8; 16], receipt: &[u8]) -> Option<Box<QsToQsReceipt>> {
    QsToQsReceipt::decode(receipt).ok().filter(|receipt| receipt.transaction == id).map(Box::new)
}

/// Seconds within which who is there answers an empty transaction: with what comes before it, less than the mailbox is
/// under way.
const SOON_S: u64 = 20;
/// Homeservers that are greeted side by side when a process begins.
const GREETED_AT_ONCE: usize = 4;
/// Domains remembered as cut off, or as broken,
const MAX_CUT_OFF: usize = 1_024;
/// and as greeted: where there are more, some are greeted once too often.
const MAX_GREETED: usize = 16_384;
