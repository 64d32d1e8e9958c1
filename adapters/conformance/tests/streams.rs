//! A client that reads its queue through a stream, in virtual time.

#![cfg(feature = "world")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use phoenix_client::{Client, ClientPorts, Event, QueueStream, Settings, Stretch};
use phoenix_conformance::{
    network::Network,
    world::{Executor, Tape, VirtualClock},
};
use phoenix_core::{Fqdn, GroupId, Timestamp, port::Inline, store::MemoryStore, time::DAY};
use phoenix_homeserver::Homeserver;

#[test]
fn messages_come_through_a_stream_and_reading_goes_on_where_it_is_lost() {
    let mut site = Site::new();
    let (anna, bert, group) = site.friends();
    let (network, home) = (site.network.clone(), site.network.home(&domain()).unwrap());

    site.run(async move {
        // given a client that reads through a stream
        let mut stream = bert.stream(Arc::new(network.transport()));
        anna.send(&group, "one").await.unwrap();
        assert_eq!(heard(&mut stream).await, "one");
        assert!(stream.is_open());

        // when another stream of the client is opened, then the first leaves it at that
        let mut other = bert.stream(Arc::new(network.transport()));
        assert!(other.sync(second()).await.unwrap().is_empty());
        assert!(other.is_open());
        assert!(stream.sync(second()).await.unwrap().is_empty());
        assert!(!stream.is_open());
        anna.send(&group, "two").await.unwrap();
        assert_eq!(heard(&mut other).await, "two");

        // when that is dropped, then the first reads without, until it is told to take the stream back
        drop(other);
        anna.send(&group, "three").await.unwrap();
        assert_eq!(heard(&mut stream).await, "three");
        assert!(!stream.is_open());
        stream.reopen();
        anna.send(&group, "four").await.unwrap();
        assert_eq!(heard(&mut stream).await, "four");
        assert!(stream.is_open());

        // when the homeserver drains, then the stream is given back, and reading goes on as long as there is anybody
        let drained = futures::join!(home.drain(60_000), stream.sync(Duration::from_secs(5)));
        assert!(drained.1.unwrap().is_empty());
        assert!(!stream.is_open());
        anna.send(&group, "five").await.unwrap();
        assert_eq!(heard(&mut stream).await, "five");
    });
}

/// A homeserver in virtual time.
struct Site {
    executor: Executor,
    clock: VirtualClock,
    tape: Tape,
    network: Network,
}

impl Site {
    fn new() -> Self {
        // Packages begin with their month, by the system's clock.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let clock = VirtualClock::starting_at(Timestamp::from_secs(now - 60 * DAY));
        let tape = Tape::of_seed(1);
        let (mut executor, network) = (Executor::new(clock.clone(), tape.clone()), Network::default());
        let builder = Homeserver::builder(domain())
            .store(MemoryStore::new())
            .transport(network.transport())
            .clock(clock.clone())
            .entropy(tape.entropy())
            .compute(Inline);
        let home = executor.run(builder.build()).unwrap().unwrap();
        network.join(home.clone());
        let spawner = executor.spawner();
        spawner.spawn(spawner.process(), home.run());
        Self { executor, clock, tape, network }
    }

    fn run<T: Send + 'static>(&mut self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.executor.run(work).unwrap()
    }

    /// Two users in a group.
    fn friends(&mut self) -> (Client, Client, GroupId) {
        let ports = || ClientPorts {
            transport: Arc::new(self.network.transport()),
            clock: Arc::new(self.clock.clone()),
            entropy: Arc::new(self.tape.entropy()),
            witness: None,
        };
        let (first, second) = (ports(), ports());
        self.run(async move {
            let (anna, bert) = (user(first).await, user(second).await);
            anna.connect(bert.user()).await.unwrap();
            let offer = until(&bert, |event| match event {
                Event::Offer { offer, .. } => Some(*offer),
                _ => None,
            });
            bert.accept(offer.await).await.unwrap();
            until(&anna, |event| matches!(event, Event::Connected { .. }).then_some(())).await;
            let group = anna.create_group().await.unwrap();
            anna.invite(&group, &[bert.user().clone()]).await.unwrap();
            until(&bert, |event| matches!(event, Event::Joined { .. }).then_some(())).await;
            (anna, bert, group)
        })
    }
}

async fn user(ports: ClientPorts) -> Client {
    let settings = Settings::new(domain(), "correct horse battery staple");
    let client = Client::register(Settings { stretch: Stretch::least(), ..settings }, ports).await.unwrap();
    client.set_up().await.unwrap();
    client
}

async fn until<T>(client: &Client, find: impl Fn(&Event) -> Option<T>) -> T {
    for _ in 0..20 {
        if let Some(found) = client.sync(second()).await.unwrap().iter().find_map(&find) {
            return found;
        }
    }
    panic!("it never comes");
}

/// The next message that comes.
async fn heard(stream: &mut QueueStream) -> String {
    for _ in 0..20 {
        for event in stream.sync(second()).await.unwrap() {
            if let Event::Message(message) = event {
                return String::from_utf8(message.text.to_vec()).unwrap();
            }
        }
    }
    panic!("nothing comes");
}

fn domain() -> Fqdn {
    "alpha.test".parse().unwrap()
}

const fn second() -> Duration {
    Duration::from_secs(1)
}
