//! Transactions that another homeserver refuses.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use phoenix_conformance::world::{Executor, Tape, VirtualClock};
use phoenix_core::{
    ErrorReply, Fqdn, KeyId, Refusal, Reject, Timestamp,
    api::{
        ServiceName,
        federation::{DeliveryResult, QsToQsReceipt, QsToQsTransaction, RecipientResult},
        queue::{FanOutMessage, NotifyClass, Recipient, SealedQueueConfig},
    },
    crypto::HpkeCiphertext,
    engine::Alarms,
    federation::{DomainPattern, Standing},
    limit::Limits,
    operation::Fare,
    port::{Clock, Inline, Outgoing, Space, Transport, TransportError},
    store::MemoryStore,
    wire::{Flag, List, Opaque, Wire},
};
use phoenix_qs::op::{
    dispatch::{Dispatch, DispatchRequest},
    forward::{Forward, ForwardRequest},
    settle::Outcome,
};

use super::{Nowhere, TestClock};
use crate::{Homeserver, mailbox::Mailboxes};

#[test]
fn what_is_refused_alone_is_bad_where_an_empty_transaction_is_taken() {
    let (alpha, clock, beta) = pair(Refuses::Deliveries, Reject::Malformed("transaction"));
    forward(&alpha);

    ring_thrice(&alpha, &clock);

    let [first, empty] = &beta.taken()[..] else { panic!("{:?}", beta.taken()) };
    assert_eq!((first.len(), empty.len()), (1, 0));
}

#[test]
fn who_refuses_everything_costs_no_message() {
    let (alpha, clock, beta) = pair(Refuses::Everything, Reject::Malformed("transaction"));
    forward(&alpha);

    ring_thrice(&alpha, &clock);
    let refused = beta.taken();
    beta.refuses_nothing.store(true, Ordering::Relaxed);
    ring(&alpha);

    let deliveries: Vec<_> = refused.iter().filter(|it| !it.is_empty()).collect();
    assert_eq!((deliveries.len(), refused.len()), (3, 6));
    assert!(deliveries.iter().all(|it| *it == deliveries[0]), "the same delivery waits");
    assert_eq!(beta.taken()[6], *deliveries[0]);
}

#[test]
fn a_delivery_that_something_breaks_at_is_suspected_where_others_pass_and_not_where_nothing_does() {
    let cases = [
        (Refuses::Deliveries, Outcome::Broke(Flag::No), Outcome::Broke(Flag::Yes)),
        (Refuses::Everything, Outcome::Failed(0), Outcome::Failed(0)),
    ];
    let says = [Some(Reject::Internal), None];
    for (says, (refuses, alone, beside_others)) in
        says.into_iter().flat_map(|says| cases.clone().map(|case| (says, case)))
    {
        let (alpha, _, beta) = pair(refuses, says);
        forward(&alpha);
        let mailboxes = Mailboxes::new(alpha.inner.clone());
        let sent = transaction(&alpha);
        let outcome = || block_on(mailboxes.sent([1; 32], &sent.payload.destination, sent.clone()));

        assert_eq!([outcome(), outcome()], [alone.clone(), alone]);
        beta.refuses_nothing.store(true, Ordering::Relaxed);
        assert!(matches!(outcome(), Outcome::Receipt(_)));
        beta.refuses_nothing.store(false, Ordering::Relaxed);

        assert_eq!(outcome(), beside_others);
    }
}

#[test]
fn t07_a_message_that_gets_no_answer_is_set_aside_where_others_get_one_and_cuts_nobody_off() {
    let (alpha, clock, beta) = pair(Refuses::First, None);
    let mailboxes = Arc::new(Mailboxes::new(alpha.inner.clone()));
    let alarms = Alarms::new(alpha.inner.shared.clone(), mailboxes);
    let survey = || block_on(alpha.admin().survey_of(beta.home.domain())).unwrap();
    forward(&alpha);
    block_on(alarms.run_once());
    assert_eq!(survey().attempts, 1, "one that was lost may come the next time");

    let mut rounds = 0;
    while survey().set_aside == 0 {
        // Behind it, and beside it.
        for group in 1..=8 {
            block_on(forward_to(&alpha, "beta.test", group));
        }
        clock.advance_s(300);
        block_on(alarms.run_once());
        assert_eq!(survey().left_alone_until, None);
        rounds += 1;
        assert!(rounds < 30, "it is found");
    }
    for _ in 0..20 {
        clock.advance_s(300);
        block_on(alarms.run_once());
    }

    assert_eq!((survey().waiting, survey().set_aside), (0, 1));
}

#[test]
fn a_homeserver_that_begins_greets_those_for_whom_something_waits() {
    let clock = VirtualClock::starting_at(Timestamp::from_secs(1_790_000_000));
    let mut executor = Executor::new(clock.clone(), Tape::of_seed(1));
    let (alpha, beta) = pair_at(&clock, Refuses::Deliveries, Reject::Unavailable(1));
    forward(&alpha);
    let spawner = executor.spawner();

    spawner.spawn(spawner.process(), alpha.run());
    executor.run(async move { clock.sleep_ms(1_000).await }).unwrap();

    assert_eq!(beta.greetings(), 1);
}

#[test]
fn those_are_greeted_once_and_not_where_the_policy_holds_them_back() {
    let (alpha, _, beta) = pair(Refuses::Deliveries, Reject::Unavailable(1));
    forward(&alpha);
    let (mailboxes, admin) = (Mailboxes::new(alpha.inner.clone()), alpha.admin());
    let paused = DomainPattern::Only("beta.test".parse().unwrap());

    block_on(admin.set_rule(paused.clone(), Standing::Paused)).unwrap();
    block_on(mailboxes.greet_waiting());
    assert_eq!(beta.greetings(), 0);
    block_on(admin.remove_rule(&paused)).unwrap();
    for _ in 0..2 {
        block_on(mailboxes.greet_waiting());
        assert_eq!(beta.greetings(), 1);
    }
}

#[test]
fn who_takes_something_for_the_first_time_since_a_homeserver_began_is_greeted_once() {
    let (alpha, clock, beta) = pair(Refuses::Deliveries, None);
    beta.refuses_nothing.store(true, Ordering::Relaxed);
    let alarms = Alarms::new(alpha.inner.shared.clone(), Arc::new(Mailboxes::new(alpha.inner.clone())));

    for _ in 0..3 {
        forward(&alpha);
        block_on(alarms.run_once());
        clock.advance_s(1);
    }

    assert_eq!(beta.taken().iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 1, 1]);
}

/// A homeserver, and another that it sends to; where that says nothing in its refusal, no answer comes.
pub(super) fn pair(refuses: Refuses, says: impl Into<Option<Reject>>) -> (Homeserver, TestClock, Arc<Beta>) {
    let clock = TestClock::default();
    let (alpha, beta) = pair_at(&clock, refuses, says);
    (alpha, clock, beta)
}

/// The same, with a clock.
fn pair_at(
    clock: &(impl Clock + Clone),
    refuses: Refuses,
    says: impl Into<Option<Reject>>,
) -> (Homeserver, Arc<Beta>) {
    let says = says.into();
    let of = |domain: &str| {
        let builder = Homeserver::builder(domain.parse().unwrap()).store(MemoryStore::new());
        builder.clock(clock.clone()).compute(Inline)
    };
    let home = block_on(of("beta.test").transport(Nowhere).build()).unwrap();
    let beta = Beta { home, refuses, says, refuses_nothing: AtomicBool::new(false), taken: Mutex::default() };
    let beta = Arc::new(beta);
    let alpha = block_on(of("alpha.test").transport(beta.clone()).build()).unwrap();
    (alpha, beta)
}

fn forward(from: &Homeserver) {
    block_on(forward_to(from, "beta.test", 1));
}

/// Puts a message into a homeserver's mailbox, as one of a group.
pub(super) async fn forward_to(from: &Homeserver, to: &str, group: u8) {
    let sealed = HpkeCiphertext { enc: Opaque::default(), ciphertext: Opaque::default() };
    let config = SealedQueueConfig { key: KeyId([1; 16]), sealed };
    let message = FanOutMessage {
        notify: NotifyClass::Normal,
        ephemeral: Flag::No,
        accepted_at: from.inner.shared.ports().clock.now().as_secs(),
        recipients: List::new(vec![Recipient { any: Flag::No, config }]).unwrap(),
        content: Opaque::default(),
    };
    let (to, back) = (to.parse().unwrap(), Opaque::default());
    let request = ForwardRequest { to, lane: [group; 32], back, message };
    from.inner.queue.internal::<Forward>(request, Fare::Free).await.unwrap();
}

/// The transaction that is next.
fn transaction(from: &Homeserver) -> QsToQsTransaction {
    let shared = &from.inner.shared;
    let due = block_on(shared.ports().store.due(Space::Qs, shared.ports().clock.now(), 1)).unwrap();
    let mailbox = due[0].key().split_first().unwrap().1.try_into().unwrap();
    let request = DispatchRequest { mailbox };
    let reply = block_on(from.inner.queue.internal::<Dispatch>(request, Fare::Free)).unwrap();
    reply.dispatched.unwrap().transaction
}

/// Sends what is due.
pub(super) fn ring(home: &Homeserver) {
    let mailboxes = Arc::new(Mailboxes::new(home.inner.clone()));
    block_on(Alarms::new(home.inner.shared.clone(), mailboxes).run_once());
}

fn ring_thrice(home: &Homeserver, clock: &TestClock) {
    for _ in 0..3 {
        ring(home);
        clock.advance_s(300);
    }
}

#[derive(Clone, Copy)]
pub(super) enum Refuses {
    Deliveries,
    Everything,
    /// Each transaction with the delivery in it that came first.
    First,
}

/// A homeserver that does not understand what it is sent.
pub(super) struct Beta {
    home: Homeserver,
    refuses: Refuses,
    says: Option<Reject>,
    pub(super) refuses_nothing: AtomicBool,
    /// The ids of the deliveries of each transaction that came.
    taken: Mutex<Vec<Vec<[u8; 16]>>>,
}

impl Beta {
    fn taken(&self) -> Vec<Vec<[u8; 16]>> {
        self.taken.lock().unwrap().clone()
    }

    fn greetings(&self) -> usize {
        self.taken().iter().filter(|it| it.is_empty()).count()
    }
}

#[async_trait]
impl Transport for Beta {
    async fn send(&self, _: &Fqdn, sent: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        let payload = QsToQsTransaction::decode(sent.call.body.as_slice()).unwrap().payload;
        let ids: Vec<_> = payload.deliveries.iter().map(|it| it.id).collect();
        self.taken.lock().unwrap().push(ids.clone());
        let first = self.taken()[0].first().copied();
        let is_refused = match self.refuses {
            Refuses::Deliveries => !ids.is_empty(),
            Refuses::Everything => true,
            Refuses::First => first.is_some_and(|first| ids.contains(&first)),
        };
        if is_refused && !self.refuses_nothing.load(Ordering::Relaxed) {
            let says = self.says.ok_or(TransportError::Unreachable)?;
            return Ok(Err(Refusal::from(says).into()));
        }
        let delivered =
            |id| DeliveryResult { id, results: List::new(vec![RecipientResult::Delivered]).unwrap() };
        let results = List::new(ids.into_iter().map(delivered).collect()).unwrap();
        let limits = Limits::default().advertised();
        Ok(Ok(QsToQsReceipt { transaction: payload.transaction, results, limits }.encode()))
    }

    async fn fetch(&self, _: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.home.document(service).await.map_err(|_| TransportError::Unreachable)
    }
}
