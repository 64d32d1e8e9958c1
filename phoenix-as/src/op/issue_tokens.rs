//! `issue_tokens`: anonymous tokens for clients, local and remote (05).
//!
//! Counting and remembering the request are one batch; the elements are evaluated after it. A repeat of a request in
//! its window is answered for the same elements and counts once, a few times: only its hash is kept, and how often
//! it came. A key that does not issue the class now is `token_invalid`, and the client is to ask for the key list
//! again; a repeat is answered as long as tokens of its key can be spent.
//!
//! All issuance of a class passes one count, so there the calls of all clients wait for each other's commits.

use std::sync::Arc;

use bytes::Bytes;
use phoenix_core::{
    ClientId, Failure, Fault, Reject, Timestamp,
    api::tokens::{self, IssueReply, IssueRequest},
    credential::VerifiedClientCredential,
    crypto::sha256,
    operation::{
        Authorised, Context, Decision, Decoded, Need, Next, Operation, Peers, Proven, Reading, Rows, Work,
    },
    port::{Alarm, RowKey, Wanted, Write},
    token::{Class, TokenKey, TokenKeys, TokenSecretKey},
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
    /// To all clients, of this class, in this window.
    all: u64,
    /// How often this very request came again after it was answered in this window; `None` where it is new.
    repeats: Option<u8>,
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
        let one = |at| Reading::change(at, Wanted::Keys(vec![record::ROW]));
        let all = one(kinds::issued_to_all(request.class, window.number, cx));
        if client.user.domain == cx.domain {
            return Ok(vec![counted, all, account::reading(client)]);
        }
        let domain = one(kinds::domain(&client.user.domain, request.class, cx));
        Ok(vec![counted, all, domain, one(kinds::newcomers(request.class, window.number, cx))])
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<State, Failure> {
        let caller = if account::claimed(call)?.user.domain == cx.domain {
            Caller::Local(account::found(&found, 2)?)
        } else {
            let domain = found.row(2, &record::ROW)?.map(|stored| record::decode(stored)).transpose()?;
            Caller::Remote { domain, newcomers: count(&found, 3)? }
        };
        let repeats =
            found.row(0, &hash(call.request()))?.map(|stored| record::decode(stored)).transpose()?;
        Ok(State { used: count(&found, 0)?, all: count(&found, 1)?, repeats, caller })
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
        let decision = Decision::new(Next::After(evaluation(request, state.repeats.is_some(), cx)?));
        let counting = Counting::new(request, client, cx);
        if let Some(repeats) = state.repeats {
            return Ok(counting.repeat(repeats, decision)?);
        }
        let mut decision = counting.by_class(state.all, counting.by_client(&state, decision)?)?;
        if let Caller::Remote { domain, newcomers } = state.caller {
            decision = counting.by_domain(domain, newcomers, decision)?;
        }
        Ok(decision)
    }
}

/// Evaluating the elements, which were checked; the key is chosen now.
fn evaluation(
    request: &IssueRequest,
    is_repeat: bool,
    cx: &Context<AuthService>,
) -> Result<Work<IssueReply>, Reject> {
    let tokens = Arc::clone(cx.keys.service.tokens());
    let (class, key, now) = (request.class, request.key, cx.now);
    key_of(&tokens, class, &key, is_repeat, now)?;
    TokenSecretKey::check(&request.blinded)?;
    let (blinded, mut chance) = (request.blinded.clone(), cx.chance("proof"));
    Ok(Box::new(move || {
        let key = key_of(&tokens, class, &key, is_repeat, now);
        let reply = key.and_then(|key| key.secret.evaluate(&blinded, &mut chance));
        // Key and elements were checked: an empty reply, which no client takes for tokens, is never given.
        reply.unwrap_or_else(|_| IssueReply { evaluated: Default::default(), proof: Default::default() })
    }))
}

/// The key that a request names: one that issues now or, for a repeat, one that did and whose tokens can be spent.
fn key_of<'a>(
    tokens: &'a TokenKeys,
    class: Class,
    key: &[u8; 32],
    is_repeat: bool,
    now: Timestamp,
) -> Result<&'a TokenKey, Reject> {
    if !is_repeat {
        return tokens.issuing(class, key, now);
    }
    let is_meant = |it: &&TokenKey| it.class == class && it.secret.key_id() == key;
    let found = tokens.keys().iter().find(is_meant).filter(|it| now.as_secs() <= it.redeem_until);
    found.ok_or(Reject::TokenInvalid)
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
        let writes = vec![Write::Put(record::ROW, record::encode(&used)), self.remembered(0)];
        Ok(decision.change(at, writes, Alarm::At(self.window.forgotten())))
    }

    /// Counts that a request came again: evaluating is not free, so it is not answered without end.
    fn repeat(&self, repeats: u8, decision: Decision<IssueReply>) -> Result<Decision<IssueReply>, Reject> {
        if repeats >= self.cx.settings.repeats {
            return Err(self.window.refusal(self.cx.now));
        }
        let at = kinds::issued(self.client, self.request.class, self.window.number, self.cx);
        Ok(decision.change(at, vec![self.remembered(repeats.saturating_add(1))], Alarm::Keep))
    }

    /// The write that remembers the request, and how often it came again.
    fn remembered(&self, repeats: u8) -> Write {
        Write::Put(hash(self.request), record::encode(&repeats))
    }

    /// Counts for all clients.
    fn by_class(&self, all: u64, decision: Decision<IssueReply>) -> Result<Decision<IssueReply>, Reject> {
        let class = self.request.class;
        let all = self.within(all, self.cx.settings.of_all(class))?;
        let at = kinds::issued_to_all(class, self.window.number, self.cx);
        let write = Write::Put(record::ROW, record::encode(&all));
        Ok(decision.change(at, vec![write], Alarm::At(self.window.forgotten())))
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
        let name = &self.client.user.domain;
        let at = kinds::domain(name, class, cx);
        let write = Write::Put(record::ROW, record::encode(&Domain { used, ..today }));
        let forgotten = self.window.forgotten().plus_secs((NEW_DAYS - 1) * phoenix_core::time::DAY);
        let decision = decision.change(at, vec![write], Alarm::At(forgotten));
        if !today.is_new(self.window.number) || cx.settings.domains.contains_key(name) {
            return Ok(decision);
        }
        let newcomers = self.within(newcomers, cx.settings.of_newcomers(class))?;
        let at = kinds::newcomers(class, self.window.number, cx);
        let write = Write::Put(record::ROW, record::encode(&newcomers));
        Ok(decision.change(at, vec![write], Alarm::At(self.window.forgotten())))
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
        self.cx.settings.of_domain(&self.client.user.domain, self.request.class, domain.good_days)
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
