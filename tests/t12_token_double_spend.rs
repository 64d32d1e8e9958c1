//! T12 on one SQLite file that two homeservers have opened: a token is spent from 64 tasks at once.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may panic, and report")]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use phoenix_client::{Client, ClientPorts, Settings, Stretch};
use phoenix_conformance::network::Network;
use phoenix_core::{
    ClientId, ErrorCode, Fqdn, Origin, Timestamp, UserId,
    api::{
        Endpoint, ServiceName,
        auth::{EnqueueOffer, EnqueueOfferRequest, GetConnectionPackage},
    },
    port::{Batch, Commit, Part, PartitionKey, Place, Snapshot, Space, Store, StoreError},
    token::{Class, Token},
    wire::{Call, Opaque, VERSION, Wire},
};
use phoenix_homeserver::{Homeserver, OsEntropy, SystemClock};
use phoenix_sqlite::SqliteStore;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn t12_a_token_that_64_tasks_spend_at_once_through_one_file_opened_twice_buys_one_effect() {
    let (folder, network, effects) = (tempfile::tempdir().unwrap(), Network::default(), Effects::default());
    let file = folder.path().join("phoenix.db");
    let first = homeserver(&file, &network, &effects).await;
    let victim = register(&network, first.domain()).await;
    let hostile = register(&network, first.domain()).await;
    let target = client_of(&first, &hostile, victim.user()).await;
    let second = homeserver(&file, &network, &effects).await;

    for round in 0..ROUNDS {
        let token = hostile.take_token(first.domain(), Class::Contact).await.unwrap();
        let before = effects.count();
        let calls = (0..TASKS).map(|number| {
            let home = if number % 2 == 0 { first.clone() } else { second.clone() };
            let call = offer(&target, &token, number);
            tokio::spawn(async move {
                home.call(ServiceName::As, EnqueueOffer::DESCRIPTION.name, call, Origin::default()).await
            })
        });
        let mut refused = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            refused.extend(call.await.unwrap().err().map(|error| error.code));
        }

        assert_eq!(refused.len(), usize::from(TASKS) - 1, "round {round}");
        assert!(refused.iter().all(|code| *code == ErrorCode::TokenSpent), "{refused:?}");
        assert_eq!(effects.count() - before, 1, "round {round}");
        if round + 1 == ROUNDS {
            is_spent_after_a_restart(&file, &target, &token, &effects).await;
        }
    }
    println!("{ROUNDS} tokens, each from {TASKS} tasks through two openings of one file: one effect each");
}

/// Another opening of the file, later: what was spent is spent.
async fn is_spent_after_a_restart(file: &Path, target: &ClientId, token: &Token, effects: &Effects) {
    let before = effects.count();
    let third = homeserver(file, &Network::default(), effects).await;
    let call = offer(target, token, 0);

    let again = third.call(ServiceName::As, EnqueueOffer::DESCRIPTION.name, call, Origin::default()).await;

    assert_eq!(again.unwrap_err().code, ErrorCode::TokenSpent);
    assert_eq!(effects.count(), before);
}

async fn homeserver(file: &Path, network: &Network, effects: &Effects) -> Homeserver {
    let store = Counted { store: SqliteStore::open(file).unwrap(), effects: effects.clone() };
    let home = Homeserver::builder("alpha.test".parse().unwrap()).store(store).transport(network.transport());
    let home = home.build().await.unwrap();
    network.join(home.clone());
    home
}

async fn register(network: &Network, domain: &Fqdn) -> Client {
    let ports = ClientPorts {
        transport: Arc::new(network.transport()),
        witness: None,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    };
    let settings = Settings { stretch: Stretch::least(), ..Settings::new(domain.clone(), "a password") };
    let client = Client::register(settings, ports).await.unwrap();
    client.set_up().await.unwrap();
    client
}

/// The client of a user, from its connection package.
async fn client_of(home: &Homeserver, asking: &Client, user: &UserId) -> ClientId {
    let token = asking.take_token(home.domain(), Class::Contact).await.unwrap();
    let body = Opaque::new(user.encode()).unwrap();
    let endpoint = GetConnectionPackage::DESCRIPTION;
    let call = Call { version: VERSION, endpoint: endpoint.id, auth: None, token: Some(token), body };
    let reply = home.call(ServiceName::As, endpoint.name, call, Origin::default()).await.unwrap();
    let found = <GetConnectionPackage as Endpoint>::Reply::decode(&reply).unwrap();
    found.packages.first().unwrap().payload.credential.payload.client.clone()
}

fn offer(target: &ClientId, token: &Token, number: u8) -> Call {
    let request =
        EnqueueOfferRequest { to: target.clone(), ciphertext: Opaque::new(vec![number; 100]).unwrap() };
    let body = Opaque::new(request.encode()).unwrap();
    let endpoint = EnqueueOffer::DESCRIPTION.id;
    Call { version: VERSION, endpoint, auth: None, token: Some(token.clone()), body }
}

/// Batches that wrote more than what is spent.
#[derive(Clone, Default)]
struct Effects(Arc<AtomicUsize>);

impl Effects {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

struct Counted {
    store: SqliteStore,
    effects: Effects,
}

#[async_trait]
impl Store for Counted {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        self.store.read(places).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        let outcome = self.store.commit(batch).await?;
        let has_effect = |part: &Part| part.is_write() && part.partition.space() != Space::Spent;
        if outcome == Commit::Done && batch.parts.iter().any(has_effect) {
            self.effects.0.fetch_add(1, Ordering::SeqCst);
        }
        Ok(outcome)
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.store.due(space, now, limit).await
    }
}

const TASKS: u8 = 64;
const ROUNDS: usize = 3;
