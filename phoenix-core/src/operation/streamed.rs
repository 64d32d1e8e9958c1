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
    /// What concerns the client's streams alone: ephemeral messages are handed over here, and another stream tells that
    /// it has opened.
    pub stream: Topic,
}
