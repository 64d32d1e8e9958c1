//! Whether anything goes on on a connection.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::{
    sync::Notify,
    time::{Duration, Instant, sleep_until},
};

use super::ServerLimits;

/// What goes on on one connection: the exchanges under way, from a request's headers to the last byte of its
/// reply.
pub(super) struct Activity {
    state: Mutex<State>,
    /// Something has begun or ended, after which a silence may come sooner.
    changed: Notify,
    limits: ServerLimits,
}

struct State {
    exchanges: HashMap<u64, Step>,
    begun: u64,
    /// Since when there has been no exchange.
    idle_since: Instant,
}

/// How far an exchange is.
#[derive(Clone, Copy)]
enum Step {
    /// Its request is read and answered, which has bounds of its own.
    Answering,
    /// Its reply is sent; this was when some of it went last.
    Sending(Instant),
}

/// Why a connection should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// No request is under way.
    Idle,
    /// The caller does not take a reply.
    Stuck,
}

impl Activity {
    /// Of a connection that begins now.
    pub(super) fn new(limits: ServerLimits) -> Arc<Self> {
        let state = State { exchanges: HashMap::new(), begun: 0, idle_since: Instant::now() };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new(), limits })
    }

    /// Begins an exchange; also tells whether it is the last that the connection may have.
    pub(super) fn begin(self: &Arc<Self>) -> (Exchange, bool) {
        let mut state = self.state();
        state.begun = state.begun.saturating_add(1);
        let id = state.begun;
        state.exchanges.insert(id, Step::Answering);
        let is_last = id >= self.limits.requests_per_connection;
        (Exchange { activity: Arc::clone(self), id }, is_last)
    }

    /// Waits until nothing has gone on for too long.
    pub(super) async fn silence(&self) -> Silence {
        self.wait(|state| {
            let time = if state.begun == 0 { self.limits.header_time } else { self.limits.idle_time };
            state.idle_since + time
        })
        .await
    }

    /// The same for a connection that is to end: waits only so long, from now on, while no request is under way.
    pub(super) async fn last_silence(&self, time: Duration) -> Silence {
        let now = Instant::now();
        self.wait(|state| state.idle_since.max(now) + time).await
    }

    async fn wait(&self, idle_until: impl Fn(&State) -> Instant) -> Silence {
        loop {
            let (silence, at) = self.next_silence(&idle_until);
            if at <= Instant::now() {
                return silence;
            }
            tokio::select! {
                () = sleep_until(at) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// What ends the connection, and when, if nothing happens meanwhile.
    fn next_silence(&self, idle_until: impl Fn(&State) -> Instant) -> (Silence, Instant) {
        let state = self.state();
        if state.exchanges.is_empty() {
            return (Silence::Idle, idle_until(&state));
        }
        let sending = state.exchanges.values().filter_map(|step| match step {
            Step::Sending(last) => Some(*last),
            Step::Answering => None,
        });
        // While all are being answered, none can be stuck before its reply has begun.
        (Silence::Stuck, sending.min().unwrap_or_else(Instant::now) + self.limits.write_time)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request and its reply, under way until dropped.
pub(super) struct Exchange {
    activity: Arc<Activity>,
    id: u64,
}

impl Exchange {
    /// The reply's body, by which the exchange is followed until all of it is sent.
    pub(super) fn follow(self, body: Body) -> Followed {
        self.moved();
        self.activity.changed.notify_one();
        Followed { body, left: Bytes::new(), exchange: Arc::new(self) }
    }

    fn moved(&self) {
        self.activity.state().exchanges.insert(self.id, Step::Sending(Instant::now()));
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.exchanges.remove(&self.id);
        state.idle_since = Instant::now();
        drop(state);
        self.activity.changed.notify_one();
    }
}

/// A body in pieces that tell when they are sent.
pub(super) struct Followed {
    body: Body,
    /// What was taken from the body and not given on.
    left: Bytes,
    exchange: Arc<Exchange>,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while self.left.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => self.left = bytes,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return Poll::Ready(other),
            }
        }
        self.exchange.moved();
        let length = self.left.len().min(PIECE);
        let piece = Piece { bytes: self.left.split_to(length), exchange: Arc::clone(&self.exchange) };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let left = u64::try_from(self.left.len()).unwrap_or(u64::MAX);
        let rest = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(left));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(left));
        }
        hint
    }
}

/// A part of a reply, which hyper drops when it is sent.
struct Piece {
    bytes: Bytes,
    exchange: Arc<Exchange>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.exchange.moved();
    }
}

/// Bytes of a reply that are handed to hyper at a time: what a slow line takes in a few seconds.
const PIECE: usize = 32 << 10;
