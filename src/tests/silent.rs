//! Homeservers that never answer, and one that does, in virtual time.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_conformance::world::{Executor, Tape, VirtualClock};
use phoenix_core::{
    ErrorReply, Fqdn, Timestamp,
    api::{
        ServiceName,
        federation::{DeliveryResult, QsToQsReceipt, QsToQsTransaction, RecipientResult},
    },
    limit::Limits,
    port::{Clock, Inline, Outgoing, Transport, TransportError},
    store::MemoryStore,
    wire::{List, Wire},
};

use super::{Nowhere, mailbox::forward_to};
use crate::Homeserver;

#[test]
fn three_hundred_homeservers_that_never_answer_keep_none_waiting_that_does() {
    let clock = VirtualClock::starting_at(Timestamp::from_secs(1_790_000_000));
    let mut executor = Executor::new(clock.clone(), Tape::of_seed(1));
    let of = |domain: &str| {
        let builder = Homeserver::builder(domain.parse().unwrap()).store(MemoryStore::new());
        builder.clock(clock.clone()).compute(Inline)
    };
    let home = executor.run(of("beta.test").transport(Nowhere).build()).unwrap().unwrap();
    let void =
        Arc::new(Void { clock: clock.clone(), beta: home, took: Mutex::default(), asked: Mutex::default() });
    let alpha = executor.run(of("alpha.test").transport(void.clone()).build()).unwrap().unwrap();
    let spawner = executor.spawner();
    spawner.spawn(spawner.process(), alpha.clone().run());
    forward(&mut executor, &alpha, "beta.test");
    pass_s(&mut executor, &clock, 5);
    for number in 0..SILENT {
        forward(&mut executor, &alpha, &format!("d{number}.test"));
    }
    pass_s(&mut executor, &clock, 60);

    let mut waited_ms = Vec::new();
    for _ in 0..5 {
        let (before, count) = (clock.now(), void.took.lock().unwrap().len());
        forward(&mut executor, &alpha, "beta.test");
        pass_s(&mut executor, &clock, 10);
        let took = void.took.lock().unwrap();
        assert_eq!(took.len(), count + 1, "it is sent once");
        waited_ms.push(took[count].millis_since(before));
    }
    pass_s(&mut executor, &clock, 120);

    println!("a message waited {} ms at most", waited_ms.iter().max().unwrap());
    assert!(waited_ms.iter().all(|waited| *waited <= 2_000), "{waited_ms:?}");
    assert_eq!(void.asked.lock().unwrap().len(), SILENT, "each of the others has its turn, too");
}

fn forward(executor: &mut Executor, from: &Homeserver, to: &str) {
    let (from, to) = (from.clone(), to.to_owned());
    executor.run(async move { forward_to(&from, &to, 1).await }).unwrap();
}

fn pass_s(executor: &mut Executor, clock: &VirtualClock, seconds: u64) {
    let clock = clock.clone();
    executor.run(async move { clock.sleep_ms(seconds * 1_000).await }).unwrap();
}

/// Where one homeserver takes what it is sent, and nobody else says anything.
struct Void {
    clock: VirtualClock,
    beta: Homeserver,
    /// When a transaction with something in it came to it.
    took: Mutex<Vec<Timestamp>>,
    /// Who else was asked.
    asked: Mutex<BTreeSet<Fqdn>>,
}

impl Void {
    async fn silence(&self, domain: &Fqdn) -> TransportError {
        self.asked.lock().unwrap().insert(domain.clone());
        self.clock.sleep_ms(30_000).await;
        TransportError::Unreachable
    }
}

#[async_trait]
impl Transport for Void {
    async fn send(&self, to: &Fqdn, sent: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        if to != self.beta.domain() {
            return Err(self.silence(to).await);
        }
        let payload = QsToQsTransaction::decode(sent.call.body.as_slice()).unwrap().payload;
        if !payload.deliveries.is_empty() {
            self.took.lock().unwrap().push(self.clock.now());
        }
        let delivered =
            |id| DeliveryResult { id, results: List::new(vec![RecipientResult::Delivered]).unwrap() };
        let results = List::new(payload.deliveries.iter().map(|it| delivered(it.id)).collect()).unwrap();
        let limits = Limits::default().advertised();
        Ok(Ok(QsToQsReceipt { transaction: payload.transaction, results, limits }.encode()))
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        if from != self.beta.domain() {
            return Err(self.silence(from).await);
        }
        self.beta.document(service).await.map_err(|_| TransportError::Unreachable)
    }
}

const SILENT: usize = 300;
