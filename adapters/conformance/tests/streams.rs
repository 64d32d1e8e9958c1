//! A client that reads its queue through a stream, in virtual time.

#![cfg(feature = "world")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use phoenix_client::{Client, ClientPorts, Event, Message, QueueStream, Settings, Stretch};
use phoenix_conformance::{
    network::Network,
    world::{Executor, Tape, VirtualClock},
};
use phoenix_core::{Fqdn, GroupId, Timestamp, port::Inline, store::MemoryStore, time::DAY, wire::Flag};
use phoenix_homeserver::Homeserver;

#[test]
fn messages_come_through_a_stream_and_reading_goes_on_where_it_is_lost() {
    let mut site = Site::of(&["alpha.test"]);
    let (anna, bert, group) = site.friends(["alpha.test"; 2]);
    let (network, home) = (site.network.clone(), site.network.home(&domain("alpha.test")).unwrap());

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

#[test]
fn what_passes_comes_from_one_homeserver_to_an_open_stream_at_another_and_is_read_nowhere_else() {
    let mut site = Site::of(&["alpha.test", "beta.test"]);
    let (anna, bert, group) = site.friends(["alpha.test", "beta.test"]);
    let network = site.network.clone();

    site.run(async move {
        // given a member at another homeserver whose stream is open
        let mut stream = bert.stream(Arc::new(network.transport()));
        anna.send(&group, "hello").await.unwrap();
        assert_eq!(heard(&mut stream).await, "hello");
        assert!(stream.is_open());

        // when it is told something of the moment, then that comes, once, and as such
        anna.send_ephemeral(&group, "typing").await.unwrap();
        let typing = message(&mut stream).await;
        assert_eq!((&typing.text[..], typing.ephemeral), (&b"typing"[..], Flag::Yes));
        anna.send(&group, "typed").await.unwrap();
        let typed = message(&mut stream).await;
        assert_eq!((&typed.text[..], typed.ephemeral), (&b"typed"[..], Flag::No));

        // and what is said while no stream is open is lost, and nothing else is
        drop(stream);
        anna.send_ephemeral(&group, "typing again").await.unwrap();
        anna.send(&group, "typed again").await.unwrap();
        let text = until(&bert, |event| match event {
            Event::Message(message) => Some(message.text.to_vec()),
            _ => None,
        });
        assert_eq!(text.await, b"typed again");
    });
}

/// Homeservers in virtual time.
struct Site {
    executor: Executor,
    clock: VirtualClock,
    tape: Tape,
    network: Network,
}

impl Site {
    fn of(domains: &[&str]) -> Self {
        // Packages begin with their month, by the system's clock.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let clock = VirtualClock::starting_at(Timestamp::from_secs(now - 60 * DAY));
        let tape = Tape::of_seed(1);
        let (mut executor, network) = (Executor::new(clock.clone(), tape.clone()), Network::default());
        for name in domains {
            let builder = Homeserver::builder(domain(name))
                .store(MemoryStore::new())
                .transport(network.transport())
                .clock(clock.clone())
                .entropy(tape.entropy())
                .compute(Inline);
            let home = executor.run(builder.build()).unwrap().unwrap();
            network.join(home.clone());
            let spawner = executor.spawner();
            spawner.spawn(spawner.process(), home.run());
        }
        Self { executor, clock, tape, network }
    }

    fn run<T: Send + 'static>(&mut self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.executor.run(work).unwrap()
    }

    /// Two users of these homeservers in a group.
    fn friends(&mut self, [one, other]: [&'static str; 2]) -> (Client, Client, GroupId) {
        let ports = || ClientPorts {
            transport: Arc::new(self.network.transport()),
            clock: Arc::new(self.clock.clone()),
            entropy: Arc::new(self.tape.entropy()),
            witness: None,
        };
        let (first, second) = (ports(), ports());
        self.run(async move {
            let (anna, bert) = (user(one, first).await, user(other, second).await);
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

async fn user(name: &str, ports: ClientPorts) -> Client {
    let settings = Settings::new(domain(name), "correct horse battery staple");
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

/// What the next message that comes says.
async fn heard(stream: &mut QueueStream) -> String {
    String::from_utf8(message(stream).await.text.to_vec()).unwrap()
}

/// The next message that comes.
async fn message(stream: &mut QueueStream) -> Message {
    for _ in 0..20 {
        for event in stream.sync(second()).await.unwrap() {
            if let Event::Message(message) = event {
                return message;
            }
        }
    }
    panic!("nothing comes");
}

fn domain(name: &str) -> Fqdn {
    name.parse().unwrap()
}

const fn second() -> Duration {
    Duration::from_secs(1)
}
