//! A homeserver whose store is an older copy that was brought back (09, "Restore").

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod support;

use std::{
    collections::BTreeMap,
    future::Future,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    FutureExt, StreamExt,
    channel::mpsc::{UnboundedSender, unbounded},
    executor::block_on,
    future::{AbortHandle, Either, LocalBoxFuture, abortable, select},
};
use phoenix_client::{Client, Distrust, Event};
use phoenix_core::{
    ErrorCode, ErrorReply, Fqdn, GroupId, Origin,
    api::{
        ServiceName,
        federation::QsToQsTransaction,
        queue::{DequeueReply, EntryPayload, QueueEntry},
    },
    port::{Outgoing, Transport, TransportError},
    store::MemoryStore,
    wire::Wire,
};
use phoenix_homeserver::{Builder, Era, Homeserver};

use support::{Later, Net, World, befriend, group_of, text, until};

#[test]
fn after_a_declared_restore_clients_come_back_and_nothing_is_handed_out_twice() {
    Town::play(async |town| {
        // given friends at two homeservers, a group at each, and a copy of one's store
        let (a, b) = town.friends().await;
        let (here, there) = (group_of(&a, &b).await, group_of(&b, &a).await);
        let copy = town.alpha.fork();

        // when it goes on, and the copy is brought back
        b.send(&there, "since the copy").await.expect("sent");
        assert_eq!(until(&a, text).await, "since the copy");
        a.send(&here, "answer").await.expect("sent");
        assert_eq!(until(&b, text).await, "answer");
        let spent = town.tape.spent.lock().expect("no panic").last().cloned().expect("a token was spent");
        let read = town.tape.take_read();
        let undeclared = town.home("alpha.test", &copy.fork(), |builder| builder).await;
        let restored = town.home("alpha.test", &copy, |builder| builder).await;
        restored.admin().restored(Era::default()).await.expect("declared");
        town.replace(restored.clone());

        // then a token that the copy does not know to be spent is refused; it would be taken, were nothing declared
        assert_ne!(code(&undeclared, &spent).await, Some(ErrorCode::TokenInvalid));
        assert_eq!(code(&restored, &spent).await, Some(ErrorCode::TokenInvalid));

        // and both ways messages come again, in both groups, and a gap is told for each of two queues, once
        let mut told = Vec::new();
        for (group, from, to) in [(&here, &a, &b), (&there, &b, &a), (&there, &a, &b), (&here, &b, &a)] {
            told.extend(arrives(from, to, group).await);
        }
        assert_eq!(told.iter().filter(|event| matches!(event, Event::Gap)).count(), 2, "{told:?}");
        group_of(&b, &a).await;

        // and no number of the queue is used twice, which goes on under a new key behind 2^32 of them
        let since = town.tape.take_read();
        let (last, first) = (read.last_key_value().expect("read"), since.first_key_value().expect("read"));
        assert!(*first.0 > *last.0 && *first.0 >= 1 << 32, "{} {}", last.0, first.0);
        assert!(matches!(first.1.payload, EntryPayload::Ratchet(_)));

        // and the homeserver has told the other that it is there again
        assert!(*town.tape.greetings.lock().expect("no panic") > 0);
    });
}

#[test]
fn an_older_copy_is_found_by_itself_where_its_era_was_kept_elsewhere() {
    Town::play(async |town| {
        let (a, b) = town.friends().await;
        let group = group_of(&b, &a).await;
        town.world.admin("alpha.test").count().await.expect("counted");
        let copy = town.alpha.fork();
        let seen = town.world.admin("alpha.test").count().await.expect("counted");
        arrives(&b, &a, &group).await;
        town.tape.take_read();

        let restored = town.home("alpha.test", &copy, |builder| builder.seen(seen)).await;
        town.replace(restored.clone());

        let told = arrives(&b, &a, &group).await;
        assert!(told.contains(&Event::Gap), "{told:?}");
        assert!(town.tape.take_read().keys().all(|seq| *seq >= 1 << 32));
        assert_eq!(restored.admin().count().await.expect("counted").generation, 1);
    });
}

#[test]
fn a_group_that_went_back_with_its_homeserver_is_given_up_and_another_can_be_made() {
    Town::play(async |town| {
        let (a, b) = town.friends().await;
        let behind = town.group_that_went_back(&a, &b).await;

        for client in [&a, &b] {
            client.send(&behind, "into the past").await.expect_err("it went back");
            assert_eq!(until(client, given_up(&behind)).await, Distrust::WentBack);
        }
        let new = group_of(&a, &b).await;
        arrives(&a, &b, &new).await;
    });
}

#[test]
fn who_leaves_a_group_that_went_back_with_its_homeserver_finds_out_that_it_did() {
    Town::play(async |town| {
        let (a, b) = town.friends().await;
        let behind = town.group_that_went_back(&a, &b).await;

        b.leave(&behind).await.expect_err("it went back");

        assert_eq!(until(&b, given_up(&behind)).await, Distrust::WentBack);
    });
}

/// What is on its way to alpha, as far as these tests look at it.
#[derive(Clone, Default)]
struct Tape {
    /// Calls to alpha that spent a token and need no frame.
    spent: Arc<Mutex<Vec<Outgoing>>>,
    /// What clients read of queues of the QS at alpha, by number: those of one client.
    read: Arc<Mutex<BTreeMap<u64, QueueEntry>>>,
    /// Empty transactions between the homeservers.
    greetings: Arc<Mutex<usize>>,
}

impl Tape {
    fn take_read(&self) -> BTreeMap<u64, QueueEntry> {
        std::mem::take(&mut self.read.lock().expect("no panic"))
    }
}

/// The network, with a tape.
#[derive(Clone)]
struct Taped(Net, Tape);

#[async_trait]
impl Transport for Taped {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        let (name, service, tape) = (outgoing.name, outgoing.service, &self.1);
        let is_alpha = to.as_str() == "alpha.test";
        if is_alpha && outgoing.call.token.is_some() && outgoing.call.auth.is_none() {
            tape.spent.lock().expect("no panic").push(outgoing.clone());
        }
        if name == "federated_enqueue"
            && QsToQsTransaction::decode(&outgoing.call.body).is_ok_and(|it| it.payload.deliveries.is_empty())
        {
            *tape.greetings.lock().expect("no panic") += 1;
        }
        let answer = self.0.send(to, outgoing).await?;
        if is_alpha && service == ServiceName::Qs && name == "dequeue" {
            let entries =
                answer.iter().flat_map(|it| DequeueReply::decode(it).expect("a reply").entries.to_vec());
            tape.read.lock().expect("no panic").extend(entries.map(|entry| (entry.seq, entry)));
        }
        Ok(answer)
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.0.fetch(from, service).await
    }
}

/// Two homeservers, the first of which may be put in another one's place.
struct Town {
    world: World,
    tape: Tape,
    /// The store of the first.
    alpha: MemoryStore,
    /// Takes what homeservers do by themselves.
    runs: UnboundedSender<LocalBoxFuture<'static, ()>>,
    /// Ends what the first does by itself.
    end: Mutex<Option<AbortHandle>>,
}

impl Town {
    /// Plays a story in it.
    fn play<F: Future<Output = ()>>(story: impl FnOnce(Rc<Self>) -> F) {
        block_on(async {
            let world = World { net: Net::default(), clock: Later::default() };
            let ((runs, begun), alpha) = (unbounded(), MemoryStore::new());
            let town = Self { world, tape: Tape::default(), alpha, runs, end: Mutex::default() };
            let town = Rc::new(town);
            town.replace(town.home("alpha.test", &town.alpha, |builder| builder).await);
            let beta = town.home("beta.test", &MemoryStore::new(), |builder| builder).await;
            town.world.net.add(beta.clone());
            town.runs.unbounded_send(beta.run().boxed_local()).expect("taken");
            let runs = begun.for_each_concurrent(None, |run| run);
            match select(Box::pin(story(town)), Box::pin(runs)).await {
                Either::Left(_) => {}
                Either::Right(_) => panic!("nobody takes what homeservers do"),
            }
        });
    }

    /// A homeserver over a store, that nobody finds yet.
    async fn home(
        &self,
        domain: &str,
        store: &MemoryStore,
        set_up: impl FnOnce(Builder) -> Builder,
    ) -> Homeserver {
        let builder = Homeserver::builder(domain.parse().expect("a domain")).store(store.clone());
        let builder = builder.clock(self.world.clock.clone()).transport(self.wire());
        set_up(builder).build().await.expect("built")
    }

    /// Puts a homeserver in the place of the first.
    fn replace(&self, home: Homeserver) {
        self.world.net.add(home.clone());
        let (run, end) = abortable(home.run());
        self.runs.unbounded_send(run.map(drop).boxed_local()).expect("taken");
        if let Some(before) = self.end.lock().expect("no panic").replace(end) {
            before.abort();
        }
    }

    fn wire(&self) -> Taped {
        Taped(self.world.net.clone(), self.tape.clone())
    }

    /// Two users, the first of whom lives at the first homeserver, and whose queue is on the tape.
    async fn friends(&self) -> (Client, Client) {
        let a = self.world.user_with("alpha.test", self.world.ports_over(self.wire())).await;
        let b = self.world.user_with("beta.test", self.world.ports_over(self.wire())).await;
        befriend(&a, &b).await;
        (a, b)
    }

    /// A group of two at the first homeserver, which was restored since from before the epoch that both are in.
    async fn group_that_went_back(&self, a: &Client, b: &Client) -> GroupId {
        let behind = group_of(a, b).await;
        let copy = self.alpha.fork();
        a.update(&behind).await.expect("a later epoch");
        let epoch = a.epoch(&behind).await.expect("a group");
        until(b, |event| {
            matches!(event, Event::EpochChanged { epoch: it, .. } if *it == epoch).then_some(())
        })
        .await;

        let restored = self.home("alpha.test", &copy, |builder| builder).await;
        restored.admin().restored(Era::default()).await.expect("declared");
        self.replace(restored);
        behind
    }
}

/// Why a group was given up.
fn given_up(group: &GroupId) -> impl FnMut(&Event) -> Option<Distrust> {
    let wanted = group.clone();
    move |event| match event {
        Event::GivenUp { group, cause } if *group == wanted => Some(*cause),
        _ => None,
    }
}

/// Lets a message come from one to the other: again, as a person would, where the homeserver has forgotten who they are
/// meanwhile. What happened until then.
async fn arrives(from: &Client, to: &Client, group: &GroupId) -> Vec<Event> {
    let mut events = Vec::new();
    for round in 0..30 {
        if round % 3 == 0 {
            let _ = from.send(group, "are you there").await;
        }
        let synced = to.sync(Duration::from_millis(300)).await.unwrap_or_default();
        let has_come = synced.iter().any(|event| matches!(event, Event::Message(it) if it.group == *group));
        events.extend(synced);
        if has_come {
            return events;
        }
        let _ = from.sync(Duration::ZERO).await;
    }
    panic!("it did not come: {events:?}");
}

/// What a homeserver says of a call.
async fn code(home: &Homeserver, call: &Outgoing) -> Option<ErrorCode> {
    let Outgoing { service, name, call, .. } = call.clone();
    home.call(service, name, call, Origin::default()).await.err().map(|error| error.code)
}
