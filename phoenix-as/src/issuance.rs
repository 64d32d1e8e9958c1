//! What the endpoints that issue tokens share (05, "Issuance"): who asks, what was issued already, and the counting.
//!
//! Counting and remembering the request are one batch; the elements are evaluated after it. A repeat of a request in
//! its window is answered for the same elements and counts once, a few times: only its hash is kept, and how often
//! it came. A key that does not issue the class now is `token_invalid`, and the client is to ask for the key list
//! again; a repeat is answered as long as tokens of its key can be spent.
//!
//! All issuance of a class passes one count, so there the calls of all clients wait for each other's commits.

use bytes::Bytes;
use phoenix_core::{
    ClientId, Failure, Fault, Reject,
    credential::VerifiedClientCredential,
    operation::{
        Change, Context, Decision, Decoded, Frame, Local, Need, Next, Operation, Peers, Proven, Reading,
        Rows, Work,
    },
    port::{Alarm, RowKey, Wanted, Write},
    token::{Class, TokenKey},
    wire::Sender,
};

use crate::{
    AuthService, account,
    allowance::Window,
    domain_count::{DomainCount, SoFar},
    kinds,
    record::{self, Client},
};

/// Tokens that are asked for.
pub(crate) struct Order {
    pub(crate) class: Class,
    pub(crate) tokens: u64,
    /// The row that remembers the request: a hash that covers it, and the key that is to issue.
    pub(crate) hash: RowKey,
}

/// What was issued already.
pub(crate) struct State {
    /// To this client, of this class, in this window.
    used: u64,
    /// To all clients, of this class, in this window.
    all: u64,
    /// How often this very request came again after it was answered in this window; `None` where it is new.
    repeats: Option<u8>,
    caller: Caller,
}

enum Caller {
    Local(Option<Client>),
    /// What its domain was issued of the class.
    Remote(SoFar),
}

/// What only local clients get is refused before another's AS is asked for its keys.
pub(crate) fn voucher<O: Operation>(
    class: Class,
    call: &Decoded<O>,
    cx: &Context<AuthService>,
) -> Result<Option<Need>, Failure> {
    let is_local = account::claimed(call)?.user.domain == cx.domain;
    if !is_local && matches!(class, Class::Home | Class::Alias) {
        return Err(Reject::Forbidden.into());
    }
    Ok(call.frame()?.voucher(&cx.domain))
}

/// Where the counts are.
pub(crate) fn locate(order: &Order, client: &ClientId, cx: &Context<AuthService>) -> Vec<Reading> {
    let window = Window::of(order.class, cx.now);
    let counted = kinds::issued(client, order.class, window.number, cx);
    let counted = Reading::change(counted, Wanted::Keys(vec![record::ROW, order.hash.clone()]));
    let one = |at| Reading::change(at, Wanted::Keys(vec![record::ROW]));
    let all = one(kinds::issued_to_all(order.class, window.number, cx));
    if client.user.domain == cx.domain {
        return vec![counted, all, account::reading(client)];
    }
    let [domain, newcomers] = of_domain(order, client, cx).readings();
    vec![counted, all, domain, newcomers]
}

/// What is there.
pub(crate) fn open(
    order: &Order,
    client: &ClientId,
    found: &Rows,
    cx: &Context<AuthService>,
) -> Result<State, Failure> {
    let caller = if client.user.domain == cx.domain {
        Caller::Local(account::found(found, 2)?)
    } else {
        Caller::Remote(of_domain(order, client, cx).found(found, 2)?)
    };
    let repeats = record::found(found, 0, &order.hash)?;
    Ok(State { used: count(found, 0)?, all: count(found, 1)?, repeats, caller })
}

/// Who asks: a client that this AS knows, or one that its own AS vouches for.
pub(crate) fn authenticate(
    state: &State,
    frame: &Frame,
    peers: &Peers,
    cx: &Context<AuthService>,
) -> Result<Proven<VerifiedClientCredential>, Failure> {
    match (&state.caller, frame.sender()) {
        (Caller::Local(known), _) => Ok(account::prove(frame, known.as_ref(), cx)?),
        (Caller::Remote(_), Sender::ClientCredential(credential)) => {
            let keys = peers.auth(&credential.payload.client.user.domain)?;
            let verified = keys.verify_chain(credential, cx.now)?;
            let key = verified.key().clone();
            Ok(frame.prove(&key, verified)?)
        }
        (Caller::Remote(_), _) => Err(Reject::Unauthenticated.into()),
    }
}

impl State {
    /// The key that was named, if it issues the class now; for a repeat, if it did and its tokens can be spent.
    ///
    /// # Errors
    /// [`Reject::TokenInvalid`] where it does not.
    pub(crate) fn issuing<'a>(
        &self,
        named: Option<&'a TokenKey>,
        class: Class,
        cx: &Context<AuthService>,
    ) -> Result<&'a TokenKey, Reject> {
        let is_repeat = self.repeats.is_some();
        let is_good = |key: &&TokenKey| {
            key.class == class && if is_repeat { key.redeems_at(cx.now) } else { key.issues_at(cx.now) }
        };
        named.filter(is_good).ok_or(Reject::TokenInvalid)
    }

    /// What is written where the order is within all allowances.
    ///
    /// # Errors
    /// [`Reject::RateLimited`], with the seconds until the window ends, where it is not.
    pub(crate) fn counted(
        self,
        order: &Order,
        client: &ClientId,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Change>, Reject> {
        let counting = Counting { order, client, cx, window: Window::of(order.class, cx.now) };
        if let Some(repeats) = self.repeats {
            return Ok(vec![counting.repeat(repeats)?]);
        }
        let all = counting.by_class(self.all)?;
        match self.caller {
            Caller::Local(_) => Ok(vec![all, counting.by_client(self.used, u64::MAX)?]),
            Caller::Remote(so_far) => {
                let of_domain = of_domain(order, client, cx);
                let own = counting.by_client(self.used, of_domain.of_client(&so_far))?;
                let mut changes = vec![all, own, counting.of_user()];
                changes.extend(of_domain.counting(&so_far, order.tokens)?);
                Ok(changes)
            }
        }
    }
}

/// The decision that counts, and then evaluates.
pub(crate) fn decision<R>(counts: Vec<Change>, evaluation: Work<R>) -> Decision<R> {
    let decision = Decision::new(Next::After(evaluation));
    counts
        .into_iter()
        .fold(decision, |decision, Change { at, writes, alarm }| decision.change(at, writes, alarm))
}

/// One order that is to be counted.
struct Counting<'a> {
    order: &'a Order,
    client: &'a ClientId,
    cx: &'a Context<AuthService>,
    window: Window,
}

impl Counting<'_> {
    /// Counts for the client, and remembers the request. `of_domain` is what a client of its domain gets at most.
    fn by_client(&self, used: u64, of_domain: u64) -> Result<Change, Reject> {
        let class = self.order.class;
        let allowance = u64::from(self.cx.settings.allowances.of(class)).min(of_domain);
        let used = self.within(used, allowance)?;
        let writes = vec![Write::Put(record::ROW, record::encode(&used)), self.remembered(0)];
        Ok(Change { at: self.issued(), writes, alarm: Alarm::At(self.window.forgotten()) })
    }

    /// Notes where that is, so that it can go with its user (08).
    fn of_user(&self) -> Change {
        let at = kinds::issued_of(&self.client.user, self.order.class, self.window.number, self.cx);
        let writes = vec![Write::Put(Bytes::copy_from_slice(self.issued().key()), Bytes::new())];
        Change { at, writes, alarm: Alarm::At(self.window.forgotten()) }
    }

    /// Counts that a request came again: evaluating is not free, so it is not answered without end.
    fn repeat(&self, repeats: u8) -> Result<Change, Reject> {
        if repeats >= self.cx.settings.repeats {
            return Err(self.window.refusal(self.cx.now));
        }
        let writes = vec![self.remembered(repeats.saturating_add(1))];
        Ok(Change { at: self.issued(), writes, alarm: Alarm::Keep })
    }

    /// Where the client is counted.
    fn issued(&self) -> Local {
        kinds::issued(self.client, self.order.class, self.window.number, self.cx)
    }

    /// The write that remembers the request, and how often it came again.
    fn remembered(&self, repeats: u8) -> Write {
        Write::Put(self.order.hash.clone(), record::encode(&repeats))
    }

    /// Counts for all clients.
    fn by_class(&self, all: u64) -> Result<Change, Reject> {
        let class = self.order.class;
        let all = self.within(all, self.cx.settings.of_all(class))?;
        Ok(self.window.count(kinds::issued_to_all(class, self.window.number, self.cx), all))
    }

    /// What is used with this order, if that is within an allowance.
    fn within(&self, used: u64, allowance: u64) -> Result<u64, Reject> {
        self.window.within(used, self.order.tokens, allowance, self.cx.now)
    }
}

/// What is counted for the domain of a remote client.
fn of_domain<'a>(order: &Order, client: &ClientId, cx: &'a Context<AuthService>) -> DomainCount<'a> {
    DomainCount::of_tokens(&client.user.domain, order.class, cx)
}

/// A count that was read.
fn count(found: &Rows, place: usize) -> Result<u64, Fault> {
    Ok(record::found(found, place, &record::ROW)?.unwrap_or(0))
}
