//! How a request becomes a decision: five pure, synchronous functions.
//!
//! Every request of the protocol is an [`Operation`]. It says where it acts ([`Operation::locate`]), opens the
//! state found there, authenticates the sender against it, names the peers whose keys deciding requires, and
//! decides. The result is a value, a [`Decision`]; the driver in [`engine`](crate::engine) does all the waiting.

mod context;
mod decision;
mod frame;
mod rows;
mod stage;
mod streamed;

pub use context::{Context, KeyRing, Need, OnAlarm, Peers, Service};
pub use decision::{Change, Decision, Delivery, Hint, Inquiry, Next, PushHint, Work};
pub use frame::{Anyone, Frame, LABEL as FRAME_LABEL, Proven};
pub use rows::{Local, Purpose, Reading, Rows};
pub(crate) use stage::Allowed;
pub use stage::{Authenticated, Authorised, Decoded, FRAME_WINDOW_S, Fare};
pub use streamed::{StreamTopics, Streamed};

use bytes::Bytes;

use crate::{
    Failure, Reject,
    api::{Access, Endpoint},
    limit::Loads,
};

/// The reply of an operation.
pub type ReplyOf<O> = <<O as Operation>::Endpoint as Endpoint>::Reply;
/// The request of an operation.
pub type RequestOf<O> = <<O as Operation>::Endpoint as Endpoint>::Request;

/// What a server does with the requests of one endpoint. All functions are pure: the same rows, peers' keys,
/// request, time and seed give the same result.
pub trait Operation: Sized + Send + Sync + 'static {
    /// The endpoint that it serves.
    type Endpoint: Endpoint;
    /// The service that it belongs to.
    type Service: Service;
    /// What `open` makes of the rows.
    type State: Send + Sync + 'static;
    /// Who may be behind a call, once proven.
    type Sender: Send + Sync + 'static;
    /// How long deciding takes.
    const EFFORT: Effort = Effort::Light;

    /// The one peer without whose keys the sender cannot be verified. Asked before anything is read.
    ///
    /// # Errors
    /// Whatever makes the request unacceptable by itself: [`Reject::Forbidden`] where an endpoint of local clients is
    /// called by another homeserver's, for whom nobody is asked.
    fn voucher(call: &Decoded<Self>, cx: &Context<Self::Service>) -> Result<Option<Need>, Failure> {
        let need = call.frame().ok().and_then(|frame| frame.voucher(&cx.domain));
        let is_local = Self::Endpoint::DESCRIPTION.access == Access::Local;
        if is_local && need.is_some() { Err(Reject::Forbidden.into()) } else { Ok(need) }
    }

    /// Peers whose keys help where they are known already; nobody is asked for them.
    fn wishes(_call: &Decoded<Self>, _cx: &Context<Self::Service>) -> Vec<Need> {
        Vec::new()
    }

    /// The places to read. Called again with what was found, until it names none; at most three rounds.
    ///
    /// # Errors
    /// Whatever makes the request unacceptable by itself: an id of another domain, say.
    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<Self::Service>,
    ) -> Result<Vec<Reading>, Failure>;

    /// The state that the rows hold.
    ///
    /// # Errors
    /// [`Reject::NotFound`] where there is none, or none that the request opens.
    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<Self::Service>) -> Result<Self::State, Failure>;

    /// Who sent the call. Checks that need no signature and can fail cheaply come first.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`], mostly.
    fn authenticate(
        call: &Decoded<Self>,
        state: &Self::State,
        peers: &Peers,
        cx: &Context<Self::Service>,
    ) -> Result<Proven<Self::Sender>, Failure>;

    /// The peers whose keys deciding needs; asked for authenticated senders only, and at most 16.
    ///
    /// # Errors
    /// Whatever makes the request unacceptable.
    fn requires(_call: &Decoded<Self>, _state: &Self::State) -> Result<Vec<Need>, Failure> {
        Ok(Vec::new())
    }

    /// What the policy is to judge beyond where the call comes from. Asked once a call, of authenticated senders
    /// only; none where the policy's word on it does not matter, since `Forbid` refuses the call.
    fn subject(_call: &Decoded<Self>, _state: &Self::State, _cx: &Context<Self::Service>) -> Option<Bytes> {
        None
    }

    /// What the call counts for under the limits in memory. Asked once a call, of authenticated senders only.
    fn loads(
        _call: &Decoded<Self>,
        _state: &Self::State,
        _sender: &Self::Sender,
        _cx: &Context<Self::Service>,
    ) -> Loads {
        Loads::None
    }

    /// What happens. An `Err` spends what the call costs and changes nothing else; to refuse and still write,
    /// end a decision in [`Next::Refuse`].
    ///
    /// # Errors
    /// The endpoint's refusals.
    fn decide(
        state: Self::State,
        call: Authorised<Self>,
        peers: &Peers,
        cx: &Context<Self::Service>,
    ) -> Result<Decision<ReplyOf<Self>>, Failure>;
}

/// An operation whose decision is a plan of parts, each of which is carried out by itself, atomically: a
/// transaction of another homeserver.
pub trait Partwise: Operation {
    /// What carries out a part.
    type Part: Operation;
    /// The answer to the whole.
    type Answer: crate::wire::Wire;

    /// The parts of a plan, in order.
    fn parts(plan: &ReplyOf<Self>) -> Vec<RequestOf<Self::Part>>;

    /// The answer, from what each part answered. Nothing behind a part that ended with a fault, with
    /// [`Reject::Unavailable`] or with [`Reject::RateLimited`] was carried out, and its answer is the last one.
    ///
    /// # Errors
    /// [`Reject::Unavailable`] where a part ended so; [`Reject::Internal`] where parts and answers do not fit.
    fn answer(
        plan: ReplyOf<Self>,
        answers: Vec<Result<ReplyOf<Self::Part>, Failure>>,
    ) -> Result<Self::Answer, Reject>;
}

/// How long an operation's functions take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Well below a millisecond: runs where the request is served.
    Light,
    /// More: runs through the `Compute` port.
    Heavy,
}
