//! Someone who talks and listens, and what came of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_client::{BatchSizes, Client, ClientError, ClientPorts, Event, Habits, Settings, Stretch};
use phoenix_core::{
    ErrorReply, Fqdn, GroupId,
    api::{
        Endpoint, ServiceName,
        queue::{Dequeue, DequeueReply, EntryPayload},
    },
    port::{Outgoing, Transport, TransportError},
    wire::Wire as _,
};
use phoenix_homeserver::{OsEntropy, SystemClock};
use phoenix_http::HttpTransport;
use tokio::time::sleep;

/// Someone with a client, and a book of what they said and heard.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) name: &'static str,
    /// The number of the homeserver.
    pub(crate) home: usize,
    pub(crate) client: Arc<Client>,
    book: Arc<Mutex<Book>>,
    entries: Arc<Mutex<BTreeSet<u64>>>,
}

/// What somebody said in the group, and what they heard.
#[derive(Clone, Default)]
pub(crate) struct Book {
    /// Texts whose sending was acknowledged.
    pub(crate) acknowledged: Vec<String>,
    /// Texts that were given to the client once, and whose sending failed, or may have.
    pub(crate) unsure: Vec<String>,
    /// What each acknowledgement took.
    pub(crate) took: Vec<Duration>,
    /// Texts of others, in the order in which they were shown.
    pub(crate) heard: Vec<String>,
    /// Commits that were acknowledged.
    pub(crate) commits: usize,
    /// What a client is told where something was lost, came twice, or was torn.
    pub(crate) wrong: Vec<String>,
    /// Why sends and commits failed, and how often.
    pub(crate) failed: BTreeMap<String, usize>,
}

impl Book {
    fn fail(&mut self, error: &ClientError) {
        *self.failed.entry(error.to_string()).or_default() += 1;
    }
}

impl Person {
    /// Registers somebody, ready to be reached.
    pub(crate) async fn register(
        name: &'static str,
        home: usize,
        domain: &Fqdn,
        road: HttpTransport,
    ) -> Self {
        let entries = Arc::<Mutex<BTreeSet<u64>>>::default();
        let road = Counting { road, entries: entries.clone() };
        let settings = Settings {
            stretch: Stretch::least(),
            habits: HABITS,
            ..Settings::new(domain.clone(), format!("the password of {name}"))
        };
        let ports = ClientPorts {
            transport: Arc::new(road),
            witness: None,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
        };
        let client = Client::register(settings, ports).await.unwrap();
        client.set_up().await.unwrap();
        Self { name, home, client: Arc::new(client), book: Arc::default(), entries }
    }

    /// Offers a connection, and has it accepted.
    pub(crate) async fn befriend(&self, other: &Self) {
        self.client.connect(other.client.user()).await.unwrap();
        loop {
            for event in other.client.sync(A_SECOND).await.unwrap() {
                if let Event::Offer { offer, .. } = event {
                    other.client.accept(offer).await.unwrap();
                }
            }
            self.client.sync(A_SECOND).await.unwrap();
            if self.client.connections().await.contains(other.client.user()) {
                return;
            }
        }
    }

    /// Waits until this one is in a group.
    pub(crate) async fn joins(&self, group: &GroupId) {
        while !self.client.groups().await.contains(group) {
            self.client.sync(A_SECOND).await.unwrap();
        }
    }

    /// Says what nobody said before. It is given to the client once, which gives it to the homeserver once, but for
    /// where it is told for certain that it was not taken, since others have changed the group.
    pub(crate) async fn say(&self, group: &GroupId) -> bool {
        let number = {
            let book = self.book();
            book.acknowledged.len() + book.unsure.len()
        };
        let (text, began) = (format!("{} {number:04}", self.name), Instant::now());
        let sent = self.client.send(group, &text).await;
        let mut book = self.book();
        match sent {
            Ok(_) => {
                book.took.push(began.elapsed());
                book.acknowledged.push(text);
                true
            }
            Err(error) => {
                book.unsure.push(text);
                book.fail(&error);
                false
            }
        }
    }

    /// Talks until so many texts were acknowledged, with pauses, and commits now and then.
    pub(crate) async fn talk(&self, group: &GroupId, count: usize, pause: Duration) {
        let mut acknowledged = 0;
        while acknowledged < count {
            if self.say(group).await {
                acknowledged += 1;
                if acknowledged % COMMIT_EVERY == 0 {
                    let done = self.client.update(group).await;
                    let mut book = self.book();
                    match done {
                        Ok(()) => book.commits += 1,
                        Err(error) => book.fail(&error),
                    }
                }
            } else {
                sleep(AFTER_FAILURE).await;
            }
            sleep(pause).await;
        }
    }

    /// Reads for ever.
    pub(crate) async fn listen(&self, group: &GroupId) {
        loop {
            match self.client.sync(A_SECOND).await {
                Ok(events) => events.iter().for_each(|event| self.note(group, event)),
                Err(error) if error.is_transient() => sleep(AFTER_FAILURE).await,
                Err(error) => self.book().wrong.push(error.to_string()),
            }
        }
    }

    fn note(&self, group: &GroupId, event: &Event) {
        match event {
            Event::Message(message) if message.group == *group => {
                self.book().heard.push(String::from_utf8(message.text.to_vec()).unwrap());
            }
            Event::EpochChanged { .. } | Event::PackagesLow | Event::Message(_) => {}
            other => self.book().wrong.push(format!("{other:?}")),
        }
    }

    /// Waits until all of these that others said were heard.
    pub(crate) async fn has_heard(&self, texts: &BTreeSet<String>) {
        let is_heard = || {
            let book = self.book();
            let heard: BTreeSet<&String> = book.heard.iter().chain(&book.acknowledged).collect();
            texts.iter().all(|text| heard.contains(text))
        };
        while !is_heard() {
            sleep(A_MOMENT).await;
        }
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    /// How many messages there ever were in the queue, as far as they were read.
    pub(crate) fn entries(&self) -> usize {
        self.entries.lock().unwrap().len()
    }
}

/// A client's way to homeservers, which notes the numbers of the messages that come out of its queue: one that is read
/// twice counts once, one that is in the queue twice counts twice.
struct Counting {
    road: HttpTransport,
    entries: Arc<Mutex<BTreeSet<u64>>>,
}

#[async_trait]
impl Transport for Counting {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        let is_read = outgoing.call.endpoint == Dequeue::DESCRIPTION.id;
        let answer = self.road.send(to, outgoing).await;
        if let (true, Ok(Ok(reply))) = (is_read, &answer) {
            let entries = DequeueReply::decode(reply).unwrap().entries.into_vec();
            // The queue's own entries are no messages.
            let messages = entries.iter().filter(|entry| matches!(entry.payload, EntryPayload::Message(_)));
            self.entries.lock().unwrap().extend(messages.map(|entry| entry.seq));
        }
        answer
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.road.fetch(from, service).await
    }
}

/// No call is tried again, and of a message that others were faster than, few are made: each costs a token.
const HABITS: Habits = Habits {
    batch: BatchSizes { standard: 20, home: 10, contact: 10, alias: 1 },
    add_packages: 4,
    last_resort: 1,
    connection_packages: 2,
    offer_days: 30,
    tries: 1,
    commits: 3,
    first_wait_ms: 200,
    patience_ms: 10_000,
    jitter_s: 0,
    acknowledge: phoenix_client::Acknowledge::Processed,
};
/// Acknowledged texts of a person between two of its commits.
const COMMIT_EVERY: usize = 10;
const A_SECOND: Duration = Duration::from_secs(1);
const A_MOMENT: Duration = Duration::from_millis(10);
/// How long somebody waits after a call that failed.
const AFTER_FAILURE: Duration = Duration::from_millis(250);
