//! Callers whose homeservers never answer (08, "Published keys"; 10, T6, T20).

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use async_trait::async_trait;
use axum::{Router, body::Body, extract::ConnectInfo, routing::post};
use bytes::Bytes;
use futures::future::pending;
use http::{Request, StatusCode, header::CONTENT_TYPE};
use phoenix_client::{Client, ClientPorts, Settings, Stretch};
use phoenix_core::{
    ErrorReply, Fqdn, KeyId,
    api::{
        Description, Endpoint, ServiceName,
        federation::{FederatedEnqueue, QsToQsTransaction, SealedDelivery, TransactionTbs},
    },
    crypto::{HpkeCiphertext, Signature},
    limit::Limits,
    port::{Circuit, Clock, Compute, Job, Outgoing, Saturated, Transport, TransportError},
    store::MemoryStore,
    wire::{Call, List, Opaque, VERSION, Wire},
};
use phoenix_homeserver::{Homeserver, OsEntropy, SystemClock};
use tokio::{task::JoinSet, time::timeout};
use tower::ServiceExt;

use super::{Authority, Running, alpha};
use crate::{MEDIA_TYPE, RouterOptions, router};

#[tokio::test]
async fn t20_callers_whose_homeservers_never_answer_leave_memory_and_the_pool_to_the_others() {
    // given a homeserver with one thread for heavy work, and transactions of silent homeservers from many networks, in
    // all four times as large as the memory for requests
    let silence = Arc::new(Silence::default());
    let builder = Homeserver::builder(alpha()).store(MemoryStore::new()).compute(OneThread::new());
    let home = builder.transport(silence.clone()).limits(Limits::unlimited()).build().await.unwrap();
    let router = router(home);
    let mut calls = JoinSet::new();
    for number in 0..STRANGERS {
        let (router, request) = (router.clone(), request(number, LARGE));
        calls.spawn(async move { router.oneshot(request).await.unwrap().status() });
    }

    // when as many wait as may, then the others are told to come back
    while calls.len() > silence.asked() {
        let status = timeout(LONG, calls.join_next()).await.unwrap().unwrap();
        assert_eq!(status.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    }
    let asked = silence.asked();
    assert!(asked > 0 && asked * LARGE <= RouterOptions::default().memory / 16, "{asked}");

    // and a small transaction of a stranger still finds room, and a client all that it needs
    let small = tokio::spawn(router.clone().oneshot(request(STRANGERS, SMALL)));
    let (_running, client) = local(&router).await;
    let group = client.create_group().await.unwrap();
    client.send(&group, "hello").await.unwrap();
    assert_eq!(silence.asked(), asked + 1);
    assert!(!small.is_finished() && calls.len() == asked, "they wait all the time");
}

#[tokio::test]
async fn t20_of_what_a_homeserver_answers_to_a_transaction_no_more_is_read_than_an_honest_one_says() {
    let authority = Authority::new();
    let path = FederatedEnqueue::DESCRIPTION.service.path(FederatedEnqueue::DESCRIPTION.name);
    let lengths = Arc::new(Mutex::new(vec![64 << 10, 1 << 10]));
    let answer = async move |_: Request<Body>| {
        let length = lengths.lock().unwrap().pop().unwrap();
        // In pieces, and its length is not told.
        let pieces = (0..length >> 10).map(|_| Ok::<_, std::io::Error>(vec![0_u8; 1 << 10]));
        ([(CONTENT_TYPE, MEDIA_TYPE)], Body::from_stream(futures::stream::iter(pieces)))
    };
    let running = Running::start(&authority, Router::new().route(&path, post(answer)));
    let transport = running.transport(&authority);
    let send = async || {
        let Description { service, name, .. } = FederatedEnqueue::DESCRIPTION;
        transport.send(&alpha(), Outgoing { service, name, call: call(0, 0), circuit: Circuit(0) }).await
    };

    assert_eq!(send().await.unwrap().unwrap().len(), 1 << 10);
    assert_eq!(send().await, Err(TransportError::Refused));
}

/// A client of the homeserver behind a router.
async fn local(router: &Router) -> (Running, Client) {
    let authority = Authority::new();
    let running = Running::start(&authority, router.clone());
    let ports = ClientPorts {
        transport: Arc::new(running.transport(&authority)),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
        witness: None,
    };
    let settings =
        Settings { stretch: Stretch::least(), ..Settings::new(alpha(), "correct horse battery staple") };
    let client = Client::register(settings, ports).await.unwrap();
    client.set_up().await.unwrap();
    (running, client)
}

/// A transaction of a homeserver of its own, from a network of its own.
fn request(number: usize, bytes: usize) -> Request<Body> {
    let Description { service, name, .. } = FederatedEnqueue::DESCRIPTION;
    let network = u8::try_from(number).unwrap();
    let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, network)), 1_000);
    Request::post(service.path(name))
        .header(CONTENT_TYPE, MEDIA_TYPE)
        .extension(ConnectInfo(from))
        .body(Body::from(call(number, bytes).encode()))
        .unwrap()
}

fn call(number: usize, bytes: usize) -> Call {
    let ciphertext = Opaque::new(vec![0; bytes]).unwrap();
    let sealed = HpkeCiphertext { enc: Opaque::new(vec![0; 32]).unwrap(), ciphertext };
    let delivery = SealedDelivery { id: [0; 16], key: KeyId([0; 16]), sealed };
    let payload = TransactionTbs {
        version: VERSION,
        source: format!("s{number}.example").parse().unwrap(),
        destination: alpha(),
        transaction: [0; 16],
        sent_at: SystemClock.now().as_secs(),
        deliveries: List::new(vec![delivery]).unwrap(),
        key: KeyId([0; 16]),
    };
    let transaction = QsToQsTransaction { payload, signature: Signature(Opaque::new(vec![0; 64]).unwrap()) };
    let (endpoint, body) = (FederatedEnqueue::DESCRIPTION.id, Opaque::new(transaction.encode()).unwrap());
    Call { version: VERSION, endpoint, auth: None, token: None, body }
}

/// Where nobody ever answers.
#[derive(Default)]
struct Silence(Mutex<usize>);

impl Silence {
    /// How many were asked.
    fn asked(&self) -> usize {
        *self.0.lock().unwrap()
    }
}

#[async_trait]
impl Transport for Silence {
    async fn send(&self, _: &Fqdn, _: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        pending().await
    }

    async fn fetch(&self, _: &Fqdn, _: ServiceName) -> Result<Bytes, TransportError> {
        *self.0.lock().unwrap() += 1;
        pending().await
    }
}

/// Heavy work, one after the other.
struct OneThread(mpsc::Sender<Job>);

impl OneThread {
    fn new() -> Self {
        let (jobs, waiting) = mpsc::channel::<Job>();
        thread::spawn(move || waiting.into_iter().for_each(|job| job()));
        Self(jobs)
    }
}

impl Compute for OneThread {
    fn submit(&self, job: Job) -> Result<(), Saturated> {
        self.0.send(job).map_err(|mpsc::SendError(job)| Saturated(job))
    }
}

/// Networks that strangers come from.
const STRANGERS: usize = 128;
/// Almost as much as a call may hold,
const LARGE: usize = (2 << 20) - (1 << 10);
/// and what some messages take.
const SMALL: usize = 8 << 10;
/// When something hangs that should not.
const LONG: Duration = Duration::from_secs(60);
