//! `issue_tokens`: anonymous tokens for clients, local and remote (05).
//!
//! Counting and remembering the request are one batch; the elements are evaluated after it. A repeat of a request in
//! its window is answered for the same elements and counts once: only its hash is kept. A key that does not issue
//! the class now is `token_invalid`: the client is to ask for the key list again.

use std::sync::Arc;

use bytes::Bytes;
use phoenix_core::{
    ClientId, Failure, Fault, Reject,
    api::tokens::{self, IssueReply, IssueRequest},
    credential::VerifiedClientCredential,
    crypto::sha256,
    operation::{
        Authorised, Context, Decision, Decoded, Need, Next, Operation, Peers, Proven, Reading, Rows, Work,
    },
    port::{Alarm, RowKey, Wanted, Write},
    token::{Class, TokenSecretKey},
    wire::{Sender, Wire},
};

use crate::{
    AuthService, account,
    allowance::{NEW_DAYS, Window},
    kinds,
    record::{self, Client, Domain},
};

/// Counts, and evaluates.
pub(crate) struct IssueTokens;

/// What was issued already.
pub(crate) struct State {
    /// To this client, of this class, in this window.
    used: u64,
    /// Whether this very request was answered in this window.
    is_repeat: bool,
    caller: Caller,
}

enum Caller {
    Local(Option<Client>),
    Remote {
        domain: Option<Domain>,
        /// What all new domains got today.
        newcomers: u64,
    },
}

impl Operation for IssueTokens {
    type Endpoint = tokens::IssueTokens;
    type Service = AuthService;
    type State = State;
    type Sender = VerifiedClientCredential;

    /// What only local clients get is refused before another's AS is asked for its keys.
    fn voucher(call: &Decoded<Self>, cx: &Context<AuthService>) -> Result<Option<Need>, Failure> {
        let request = call.request();
        let is_local = account::claimed(call)?.user.domain == cx.domain;
        if !is_local && matches!(request.class, Class::Home | Class::Alias) {
            return Err(Reject::Forbidden.into());
        }
        Ok(call.frame()?.voucher(&cx.domain))
    }

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let (request, client) = (call.request(), account::claimed(call)?);
        let window = Window::of(request.class, cx.now);
        let counted = kinds::issued(client, request.class, window.number, cx);
        let counted = Reading::change(counted, Wanted::Keys(vec![record::ROW, hash(request)]));
        if client.user.domain == cx.domain {
            return Ok(vec![counted, account::reading(client)]);
        }
        let one = |at| Reading::change(at, Wanted::Keys(vec![record::ROW]));
        let domain = one(kinds::domain(&client.user.domain, request.class, cx));
        Ok(vec![counted, domain, one(kinds::newcomers(request.class, window.number, cx))])
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<State, Failure> {
        let caller = if account::claimed(call)?.user.domain == cx.domain {
            Caller::Local(account::found(&found, 1)?)
        } else {
            let domain = found.row(1, &record::ROW)?.map(|stored| record::decode(stored)).transpose()?;
            Caller::Remote { domain, newcomers: count(&found, 2)? }
        };
        let is_repeat = found.row(0, &hash(call.request()))?.is_some();
        Ok(State { used: count(&found, 0)?, is_repeat, caller })
    }

    fn authenticate(
        call: &Decoded<Self>,
        state: &State,
        peers: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Proven<VerifiedClientCredential>, Failure> {
        let frame = call.frame()?;
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

    fn decide(
        state: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<IssueReply>, Failure> {
        let (request, client) = (call.request(), call.sender().client());
        let work = evaluation(request, cx)?;
        if state.is_repeat {
            return Ok(Decision::new(Next::After(work)));
        }
        let counting = Counting::new(request, client, cx);
        let mut decision = counting.by_client(&state, Decision::new(Next::After(work)))?;
        if let Caller::Remote { domain, newcomers } = state.caller {
            decision = counting.by_domain(domain, newcomers, decision)?;
        }
        Ok(decision)
    }
}

/// Evaluating the elements, which were checked; the key is chosen now.
fn evaluation(request: &IssueRequest, cx: &Context<AuthService>) -> Result<Work<IssueReply>, Reject> {
    let tokens = Arc::clone(cx.keys.service.tokens());
    let (class, key, now) = (request.class, request.key, cx.now);
    tokens.issuing(class, &key, now)?;
    TokenSecretKey::check(&request.blinded)?;
    let (blinded, mut chance) = (request.blinded.clone(), cx.chance("proof"));
    Ok(Box::new(move || {
        let issuing = tokens.issuing(class, &key, now);
        let reply = issuing.and_then(|issuing| issuing.secret.evaluate(&blinded, &mut chance));
        // Key and elements were checked: an empty reply, which no client takes for tokens, is never given.
        reply.unwrap_or_else(|_| IssueReply { evaluated: Default::default(), proof: Default::default() })
    }))
}

/// One request that is to be counted.
struct Counting<'a> {
    request: &'a IssueRequest,
    client: &'a ClientId,
    cx: &'a Context<AuthService>,
    window: Window,
    tokens: u64,
}

impl<'a> Counting<'a> {
    fn new(request: &'a IssueRequest, client: &'a ClientId, cx: &'a Context<AuthService>) -> Self {
        let window = Window::of(request.class, cx.now);
        let tokens = u64::try_from(request.blinded.len()).unwrap_or(u64::MAX);
        Self { request, client, cx, window, tokens }
    }

    /// Counts for the client, and remembers the request.
    fn by_client(
        &self,
        state: &State,
        decision: Decision<IssueReply>,
    ) -> Result<Decision<IssueReply>, Reject> {
        let class = self.request.class;
        let mut allowance = u64::from(self.cx.settings.allowances.of(class));
        if let Caller::Remote { domain, .. } = &state.caller {
            let of_domain = self.domain_allowance(&self.today(*domain));
            allowance = allowance.min(self.cx.settings.remote.of_client(of_domain));
        }
        let used = self.within(state.used, allowance)?;
        let at = kinds::issued(self.client, class, self.window.number, self.cx);
        let remembered = Write::Put(hash(self.request), record::encode(&phoenix_core::api::Empty {}));
        let writes = vec![Write::Put(record::ROW, record::encode(&used)), remembered];
        Ok(decision.change(at, writes, Alarm::At(self.window.ends)))
    }

    /// Counts for the client's domain, and for all new ones where it is new.
    fn by_domain(
        &self,
        domain: Option<Domain>,
        newcomers: u64,
        decision: Decision<IssueReply>,
    ) -> Result<Decision<IssueReply>, Reject> {
        let (class, cx) = (self.request.class, self.cx);
        let today = self.today(domain);
        let used = self.within(today.used, self.domain_allowance(&today))?;
        let at = kinds::domain(&self.client.user.domain, class, cx);
        let write = Write::Put(record::ROW, record::encode(&Domain { used, ..today }));
        let forgotten = self.window.ends.plus_secs((NEW_DAYS - 1) * phoenix_core::time::DAY);
        let decision = decision.change(at, vec![write], Alarm::At(forgotten));
        if !today.is_new(self.window.number) {
            return Ok(decision);
        }
        let newcomers =
            self.within(newcomers, cx.settings.remote.of_newcomers(class, &cx.settings.allowances))?;
        let at = kinds::newcomers(class, self.window.number, cx);
        let write = Write::Put(record::ROW, record::encode(&newcomers));
        Ok(decision.change(at, vec![write], Alarm::At(self.window.ends)))
    }

    /// The domain's record as of today.
    fn today(&self, domain: Option<Domain>) -> Domain {
        let day = self.window.number;
        match domain {
            Some(domain) => domain.on(day, self.domain_allowance(&domain)),
            None => Domain::new(day),
        }
    }

    fn domain_allowance(&self, domain: &Domain) -> u64 {
        let settings = &self.cx.settings;
        settings.remote.of_domain(self.request.class, domain.good_days, &settings.allowances)
    }

    /// What is used with this request, if that is within an allowance.
    fn within(&self, used: u64, allowance: u64) -> Result<u64, Reject> {
        let used = used.saturating_add(self.tokens);
        if used <= allowance { Ok(used) } else { Err(self.window.refusal(self.cx.now)) }
    }
}

/// A count that was read.
fn count(found: &Rows, place: usize) -> Result<u64, Fault> {
    found.row(place, &record::ROW)?.map_or(Ok(0), |stored| record::decode(stored))
}

/// The row that remembers a request.
fn hash(request: &IssueRequest) -> RowKey {
    Bytes::copy_from_slice(&sha256(&request.encode()))
}
