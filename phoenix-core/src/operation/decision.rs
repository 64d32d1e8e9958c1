//! What an operation decides, as a value.

use bytes::Bytes;

use super::Local;
use crate::{
    Delay, ErrorReply, Fqdn, QsClientId, Refusal, Timestamp,
    api::{
        ServiceName,
        federation::FederationLimits,
        queue::{FanOutMessage, SealedPushToken},
    },
    limit::Load,
    port::{AbuseReport, Alarm, Outgoing, RowKey, Topic, Urgency, Write},
    wire::Secret,
};

/// What is to happen, all of it or nothing, and what is answered then.
#[must_use = "nothing happens unless the driver gets it"]
pub struct Decision<R> {
    pub(crate) changes: Vec<Change>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) hints: Vec<Hint>,
    pub(crate) next: Next<R>,
}

impl<R> Decision<R> {
    /// A decision that ends so, and so far changes nothing.
    pub const fn new(next: Next<R>) -> Self {
        Self { changes: Vec::new(), deliveries: Vec::new(), hints: Vec::new(), next }
    }

    /// A decision that ends in this reply.
    pub const fn reply(reply: R) -> Self {
        Self::new(Next::Reply(reply))
    }

    /// Also changes a partition.
    pub fn change(mut self, at: Local, writes: Vec<Write>, alarm: Alarm) -> Self {
        self.changes.push(Change { at, writes, alarm });
        self
    }

    /// Also sets one row; the alarm stays.
    pub fn put(self, at: Local, row: RowKey, value: Bytes) -> Self {
        self.change(at, vec![Write::Put(row, value)], Alarm::Keep)
    }

    /// Also delivers something, durably and once.
    pub fn deliver(mut self, delivery: Delivery) -> Self {
        self.deliveries.push(delivery);
        self
    }

    /// Also gives a hint, which may get lost.
    pub fn hint(mut self, hint: Hint) -> Self {
        self.hints.push(hint);
        self
    }
}

/// A change of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub at: Local,
    /// What is written.
    pub writes: Vec<Write>,
    /// What becomes of the alarm.
    pub alarm: Alarm,
}

/// Something that must arrive, once: appended to a lane in the batch that caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The homeserver that it is for.
    pub to: Fqdn,
    /// The service there.
    pub service: ServiceName,
    /// What is on one lane arrives in the order in which it was accepted: a group's id, say.
    pub lane: Bytes,
    /// An address that only the sending service can read, for what cannot be delivered.
    pub back: Bytes,
    /// The request of the internal operation that receives it: for the QS a `FanOutMessage`, for the DS an
    /// `UndeliveredRequest`.
    pub body: Bytes,
}

/// Something that may get lost; given at most once, after the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Wakes those who wait for a topic.
    Wake(Topic),
    /// The same, and hands them this.
    Tell(Topic, Bytes),
    /// Pushes to a client that is not connected.
    Push(Box<PushHint>),
    /// An alarm of this service was set to ring now.
    Ring,
    /// Goes to those of its recipients that have a stream open, and is never stored (06, "Delivery").
    Ephemeral {
        /// The homeserver that it is for.
        to: Fqdn,
        /// The message.
        message: Box<FanOutMessage>,
    },
    /// What is known of a homeserver's AS is older than what it publishes now.
    Outdated(Fqdn),
    /// Goes to the operator.
    Report(Box<AbuseReport>),
    /// Whether delivery towards a homeserver is delayed.
    Delay {
        /// Which.
        domain: Fqdn,
        /// How; none where it is not.
        delay: Option<Delay>,
    },
    /// What a homeserver says that it takes.
    Advertised {
        /// Which.
        domain: Fqdn,
        /// What it says.
        limits: FederationLimits,
    },
}

/// A push that may be sent, for a message that is in the queue now (06, "Wake-ups").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushHint {
    /// Whose push token it is.
    pub client: QsClientId,
    /// The push token as the client left it.
    pub token: SealedPushToken,
    /// Opens it; from the queue config that the message came through.
    pub key: Secret<32>,
    /// How soon the client's device need be woken.
    pub urgency: Urgency,
    /// What it counts for.
    pub budget: Load,
    /// Who listens here is connected, and need not be pushed to.
    pub unless: Topic,
}

/// How a call goes on once its decision is committed.
pub enum Next<R> {
    /// It is answered.
    Reply(R),
    /// It is answered with the result of a computation that only the caller needs: run once, after the commit.
    After(Work<R>),
    /// It is answered with what a peer says: asked once, after the commit, while nothing is held.
    Ask(Box<Inquiry<R>>),
    /// It is refused, and yet what the decision holds is written.
    Refuse(Refusal),
    /// It waits for a wake-up, at most until a time, and is decided again.
    Wait {
        /// What it waits for.
        on: Topic,
        /// When it stops waiting.
        until: Timestamp,
    },
}

/// A question to a peer, on the caller's behalf.
pub struct Inquiry<R> {
    /// The homeserver that is asked.
    pub to: Fqdn,
    /// What it is asked.
    pub outgoing: Outgoing,
    /// The reply that its answer makes; none where it answers something else.
    pub answer: Box<dyn FnOnce(Result<Bytes, ErrorReply>) -> Option<R> + Send>,
}

/// A computation whose result only the caller needs.
pub type Work<R> = Box<dyn FnOnce() -> R + Send>;
