//! Operations that open a stream.

use super::{Operation, ReplyOf, RequestOf};
use crate::{
    Reject,
    api::{Endpoint, queue::DequeueReply},
    crypto::AtRestKey,
    port::Topic,
    queue::{Flow, Page},
};

/// An operation whose reply is a stream that is open from now on (06, "Wake-ups"). What goes through it is read by
/// another operation, again and again, and each time the stream must still be its client's.
pub trait Streamed: Operation {
    /// Reads a page, and forgets what was acknowledged. Refuses with [`Reject::Conflict`] where another stream has
    /// taken this one's place, and with [`Reject::Unauthenticated`] where the client is gone or has another key.
    type Read: Operation<Service = Self::Service, Endpoint: Endpoint<Reply = DequeueReply>>;

    /// Where the stream begins.
    ///
    /// # Errors
    /// Those of [`Flow::new`].
    fn flow(request: &RequestOf<Self>) -> Result<Flow, Reject>;

    /// What wakes the stream.
    fn topics(opened: &ReplyOf<Self>, at_rest: &AtRestKey) -> StreamTopics;

    /// How a page is asked for.
    fn read(opened: &ReplyOf<Self>, page: &Page) -> RequestOf<Self::Read>;
}

/// What wakes a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamTopics {
    /// Something was put into the queue.
    pub queue: Topic,
    /// Ephemeral messages for the client are handed over here.
    pub stream: Topic,
    /// The stream may be its client's no more: another one was opened, or the client has ended or changed its key.
    pub place: Topic,
}
