//! Who stands in the place of one client's QS: with the QS's own knowledge, it opens what comes for the client, and hands
//! out what it likes instead. With a group's EAR key, which every DS is shown, it does the same as the group's DS.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use phoenix_core::{
    ErrorReply, Fqdn, GroupId, LeafIndex, Timestamp,
    api::{
        ServiceName,
        delivery::{ContentKind, GroupContent},
        queue::{Dequeue, DequeueReply, DequeueRequest, Entry, EntryKind, NotifyClass, QueueEntry},
    },
    crypto::Chance,
    group::ContentHead,
    port::{Outgoing, Transport, TransportError},
    queue::{ClientRatchet, Head, QueuePolicy},
    wire::{Flag, List, Opaque, Secret, Wire},
};

use super::support::{Net, World};
use crate::{Client, session::Session};

/// Changes what an endpoint answers, by its name and the call's body; none lets the answer through.
pub(crate) type Lie = dyn Fn(&str, &[u8], &Bytes) -> Option<Bytes> + Send + Sync;
/// Answers in the homeserver's place, before it is asked.
pub(crate) type Answer = dyn Fn(&str, &[u8]) -> Option<Result<Bytes, ErrorReply>> + Send + Sync;

/// The way of one client to its homeservers, with somebody on it.
#[derive(Clone)]
pub(crate) struct Between {
    net: Net,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    queue: Option<FalseQueue>,
    lie: Option<Box<Lie>>,
    answer: Option<Box<Answer>>,
    /// All calls so far.
    calls: Vec<(ServiceName, String)>,
}

struct FalseQueue {
    head: Head,
    entries: Vec<QueueEntry>,
    gap_before: Option<u64>,
    remaining: u32,
    chance: Chance,
}

impl Between {
    pub(crate) fn new(world: &World) -> Self {
        Self { net: world.net.clone(), inner: Arc::default() }
    }

    /// A user whose way is watched.
    pub(crate) async fn user(world: &World, domain: &str) -> (Client, Self) {
        let between = Self::new(world);
        let client = world.user_with(domain, world.ports_over(between.clone())).await;
        (client, between)
    }

    /// From now on hands out a queue of its own, which goes on where the true one is. What comes there from now on is
    /// the second half of the answer.
    pub(crate) async fn take_over(&self, client: &Client) -> TrueQueue {
        let session = client.lock().await;
        let twin = session.record().expect("set up").inbox.twin();
        let (mut chance, now) = (Chance::from_seed([9; 32]), session.now());
        let (head, _) = Head::create(twin.queue_key().clone(), now, &mut chance).expect("a queue");
        // A queue has one entry at least, which is read when the client is set up.
        let skip = twin.next_seq() - 1;
        let (head, first) = head.restart(twin.queue_key().clone(), skip, now, &mut chance).expect("a queue");
        let entries = vec![first];
        let queue = FalseQueue { head, entries, gap_before: None, remaining: 0, chance };
        self.inner.lock().expect("no panic before").queue = Some(queue);
        TrueQueue { twin }
    }

    /// Hands out an entry.
    pub(crate) fn push(&self, entry: &Entry, now: Timestamp) {
        self.change(|queue| {
            let pushed = queue.head.clone().push(entry, &QueuePolicy::QS, now, &mut queue.chance);
            let (head, entries) = pushed.expect("it fits");
            queue.head = head;
            queue.entries.extend(entries);
        });
    }

    /// Hands out the true queue again.
    pub(crate) fn give_back(&self) {
        self.inner.lock().expect("no panic before").queue = None;
    }

    /// Changes the entries that are handed out, as they are on the wire.
    pub(crate) fn rearrange(&self, change: impl FnOnce(&mut Vec<QueueEntry>)) {
        self.change(|queue| change(&mut queue.entries));
    }

    /// Says that entries below a number are gone, and how many wait behind.
    pub(crate) fn claim(&self, gap_before: Option<u64>, remaining: u32) {
        self.change(|queue| (queue.gap_before, queue.remaining) = (gap_before, remaining));
    }

    fn change(&self, change: impl FnOnce(&mut FalseQueue)) {
        let mut inner = self.inner.lock().expect("no panic before");
        change(inner.queue.as_mut().expect("taken over"));
    }

    /// Changes answers from now on.
    pub(crate) fn lie(&self, lie: impl Fn(&str, &[u8], &Bytes) -> Option<Bytes> + Send + Sync + 'static) {
        self.inner.lock().expect("no panic before").lie = Some(Box::new(lie));
    }

    /// Answers itself from now on.
    pub(crate) fn answer(
        &self,
        answer: impl Fn(&str, &[u8]) -> Option<Result<Bytes, ErrorReply>> + Send + Sync + 'static,
    ) {
        self.inner.lock().expect("no panic before").answer = Some(Box::new(answer));
    }

    /// Tells the truth about everything but the queue again.
    pub(crate) fn be_honest(&self) {
        let mut inner = self.inner.lock().expect("no panic before");
        (inner.lie, inner.answer) = (None, None);
    }

    /// How often an endpoint was called so far.
    pub(crate) fn calls(&self, name: &str) -> usize {
        let inner = self.inner.lock().expect("no panic before");
        inner.calls.iter().filter(|(_, call)| *call == name).count()
    }

    /// How often the queue began again so far: another service has an endpoint of that name, too.
    pub(crate) fn restarts(&self) -> usize {
        let inner = self.inner.lock().expect("no panic before");
        let is_restart =
            |call: &&(ServiceName, String)| call.0 == ServiceName::Qs && call.1 == "update_client";
        inner.calls.iter().filter(is_restart).count()
    }

    fn false_page(&self, body: &[u8]) -> Option<Bytes> {
        let mut inner = self.inner.lock().expect("no panic before");
        let queue = inner.queue.as_mut()?;
        let DequeueRequest { from, max, .. } = DequeueRequest::decode(body).expect("a request");
        let wanted = queue.entries.iter().filter(|entry| entry.seq >= from);
        let entries: Vec<_> = wanted.take(usize::from(max)).cloned().collect();
        let (gap_before, remaining) = (queue.gap_before, queue.remaining);
        let entries = List::new(entries).expect("few");
        Some(DequeueReply { entries, remaining, gap_before }.encode())
    }
}

#[async_trait]
impl Transport for Between {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        let (name, body) = (outgoing.name, outgoing.call.body.clone());
        {
            let mut inner = self.inner.lock().expect("no panic before");
            inner.calls.push((outgoing.service, name.to_owned()));
            if let Some(answer) = inner.answer.as_ref().and_then(|answer| answer(name, &body)) {
                return Ok(answer);
            }
        }
        if name == "dequeue"
            && let Some(page) = self.false_page(&body)
        {
            return Ok(Ok(page));
        }
        let answer = self.net.send(to, outgoing).await?;
        let inner = self.inner.lock().expect("no panic before");
        Ok(answer.map(|reply| {
            let lie = inner.lie.as_ref().and_then(|lie| lie(name, &body, &reply));
            lie.unwrap_or(reply)
        }))
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.net.fetch(from, service).await
    }
}

/// What truly comes for a client whose queue was taken over.
pub(crate) struct TrueQueue {
    twin: ClientRatchet,
}

impl TrueQueue {
    /// All entries that have come since the last time: waits for so many at least.
    pub(crate) async fn harvest(&mut self, client: &Client, world: &World, least: usize) -> Vec<Entry> {
        let mut harvested = Vec::new();
        for _ in 0..50 {
            let mut session = client.lock().await;
            let from = self.twin.next_seq();
            let request = DequeueRequest { from, max: 200, ack_below: 0, wait_s: 1 };
            let reply = read(&mut session, world, &request).await;
            for entry in &reply.entries {
                harvested.extend(self.twin.open(entry).expect("the twin's"));
            }
            if harvested.len() >= least {
                return harvested;
            }
        }
        panic!("only {} of {least} entries came", harvested.len());
    }
}

/// Reads the true queue, signing as the client.
async fn read(session: &mut Session, world: &World, request: &DequeueRequest) -> DequeueReply {
    use phoenix_core::api::Endpoint;

    let (route, auth) = (session.queue_route().expect("set up"), session.queue_identity().expect("set up"));
    let outgoing = session.prepare(&Dequeue::DESCRIPTION, &route, Some(&auth), None, request.encode());
    let answer = world.net.send(&route.domain, outgoing.expect("signed")).await;
    DequeueReply::decode(&answer.expect("reached").expect("read")).expect("a reply")
}

/// What a group's DS sees of an entry, if it is for that group: with the EAR key that each request brings.
pub(crate) async fn open(client: &Client, group: &GroupId, entry: &Entry) -> Option<GroupContent> {
    let session = client.lock().await;
    let ear_key = &session.group(group).ok()?.access.ear_key;
    head_of(entry, Flag::No).open(ear_key, &entry.content).ok()
}

/// The entry with another content, as the group's DS could make it.
pub(crate) async fn forge(client: &Client, group: &GroupId, entry: &Entry, content: &GroupContent) -> Entry {
    let session = client.lock().await;
    let ear_key: Secret<32> = session.group(group).expect("a group").access.ear_key.clone();
    let mut chance = Chance::from_seed([8; 32]);
    let content = head_of(entry, Flag::No).seal(&ear_key, content, &mut chance).expect("sealed");
    Entry { content, ..entry.clone() }
}

/// An entry for a group that nobody sent.
pub(crate) async fn invent(
    client: &Client,
    group: &GroupId,
    (kind, sender): (ContentKind, LeafIndex),
    message: Vec<u8>,
) -> Entry {
    let (config, accepted_at) = {
        let session = client.lock().await;
        (session.group(group).expect("a group").config, session.now().as_secs())
    };
    let entry = Entry {
        kind: EntryKind::FanOut,
        config,
        notify: NotifyClass::Silent,
        accepted_at,
        content: Opaque::default(),
    };
    let message = Opaque::new(message).expect("short");
    forge(client, group, &entry, &GroupContent { kind, sender, message }).await
}

fn head_of(entry: &Entry, ephemeral: Flag) -> ContentHead {
    ContentHead { notify: entry.notify, ephemeral, accepted_at: entry.accepted_at }
}
