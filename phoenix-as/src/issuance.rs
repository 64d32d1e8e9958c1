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
    time::DAY,
    token::{Class, TokenKey},
    wire::{Sender, Wire},
};

use crate::{
    AuthService, account,
    allowance::{Counted, NEW_DAYS, Window},
    kinds,
    record::{self, Client, Domain, Known},
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
    Remote {
        /// Since when its domain is known, and what that was issued of the class.
        domain: Option<(Known, Option<Domain>)>,
        /// What all new domains got today.
        newcomers: u64,
    },
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
    let domain = kinds::domain(&counted_domain(client, cx).name, cx);
    let domain = Reading::change(domain, Wanted::Keys(vec![record::ROW, order.class.encode()]));
    vec![counted, all, domain, one(kinds::newcomers(order.class, window.number, cx))]
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
        let known = row(found, 2, &record::ROW)?;
        let of_class = row(found, 2, &order.class.encode())?;
        Caller::Remote { domain: known.map(|known| (known, of_class)), newcomers: count(found, 3)? }
    };
    let repeats = row(found, 0, &order.hash)?;
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
        (Caller::Remote { .. }, Sender::ClientCredential(credential)) => {
            let keys = peers.auth(&credential.payload.client.user.domain)?;
            let verified = keys.verify_chain(credential, cx.now)?;
            let key = verified.key().clone();
            Ok(frame.prove(&key, verified)?)
        }
        (Caller::Remote { .. }, _) => Err(Reject::Unauthenticated.into()),
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
            Caller::Remote { domain, newcomers } => {
                let (known, today) = counting.today(domain);
                let of_client = cx.settings.remote.of_client(counting.domain_allowance(&today));
                let own = counting.by_client(self.used, of_client)?;
                let domain = counting.by_domain(known, today)?;
                let newcomers = counting.by_newcomers(known, newcomers)?;
                let changes = [Some(all), Some(own), Some(counting.of_user()), Some(domain), newcomers];
                Ok(changes.into_iter().flatten().collect())
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
        let writes = vec![Write::Put(self.issued().key, Bytes::new())];
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
        Ok(self.one(kinds::issued_to_all(class, self.window.number, self.cx), all))
    }

    /// Counts for the client's domain.
    fn by_domain(&self, known: Known, today: Domain) -> Result<Change, Reject> {
        let used = self.within(today.used, self.domain_allowance(&today))?;
        let at = kinds::domain(&counted_domain(self.client, self.cx).name, self.cx);
        let writes = vec![
            Write::Put(record::ROW, record::encode(&known)),
            Write::Put(self.order.class.encode(), record::encode(&Domain { used, ..today })),
        ];
        let forgotten = self.window.forgotten().plus_secs((NEW_DAYS - 1) * DAY);
        Ok(Change { at, writes, alarm: Alarm::At(forgotten) })
    }

    /// Counts for all new domains, where the client's is new and the operator has set nothing for it.
    fn by_newcomers(&self, known: Known, newcomers: u64) -> Result<Option<Change>, Reject> {
        let (class, cx) = (self.order.class, self.cx);
        if !known.is_new(self.window.number) || counted_domain(self.client, cx).set.is_some() {
            return Ok(None);
        }
        let newcomers = self.within(newcomers, cx.settings.of_newcomers(class))?;
        Ok(Some(self.one(kinds::newcomers(class, self.window.number, cx), newcomers)))
    }

    /// A count of its own, which is forgotten after the window.
    fn one(&self, at: Local, count: u64) -> Change {
        let writes = vec![Write::Put(record::ROW, record::encode(&count))];
        Change { at, writes, alarm: Alarm::At(self.window.forgotten()) }
    }

    /// The domain's records as of today. One that was unused for 30 d begins again.
    fn today(&self, domain: Option<(Known, Option<Domain>)>) -> (Known, Domain) {
        let day = self.window.number;
        let domain = domain.and_then(|(known, of_class)| Some((known.on(day)?, of_class)));
        let (known, of_class) = domain.unwrap_or((Known::new(day), None));
        let of_class = of_class.filter(|of_class| of_class.known_since == known.since);
        let of_class = of_class.unwrap_or(Domain::new(known.since, day));
        (known, of_class.on(day, self.domain_allowance(&of_class)))
    }

    fn domain_allowance(&self, domain: &Domain) -> u64 {
        let counted = counted_domain(self.client, self.cx);
        self.cx.settings.of_domain(&counted, self.order.class, domain.good_days)
    }

    /// What is used with this order, if that is within an allowance.
    fn within(&self, used: u64, allowance: u64) -> Result<u64, Reject> {
        let used = used.saturating_add(self.order.tokens);
        if used <= allowance { Ok(used) } else { Err(self.window.refusal(self.cx.now)) }
    }
}

/// How the domain of a remote client is counted.
fn counted_domain(client: &ClientId, cx: &Context<AuthService>) -> Counted {
    cx.settings.counted(&client.user.domain, &cx.federation)
}

/// A count that was read.
fn count(found: &Rows, place: usize) -> Result<u64, Fault> {
    Ok(row(found, place, &record::ROW)?.unwrap_or(0))
}

/// A record that was read.
fn row<T: Wire>(found: &Rows, place: usize, key: &[u8]) -> Result<Option<T>, Fault> {
    found.row(place, key)?.map(|stored| record::decode(stored)).transpose()
}
