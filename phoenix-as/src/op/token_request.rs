//! `token_request`: one token of type 0x0001, for Privacy Pass clients of any make (05; RFC 9578 §5).
//!
//! The class follows from the key that the request names; all else is as with `issue_tokens`.

use bytes::Bytes;
use phoenix_core::{
    Failure, Reject,
    api::tokens::{self, SingleReply, SingleRequest},
    credential::VerifiedClientCredential,
    crypto::sha256,
    operation::{Authorised, Context, Decision, Decoded, Need, Operation, Peers, Proven, Reading, Rows},
    token::{TokenKey, TokenType},
    wire::Wire,
};

use crate::{
    AuthService, account,
    issuance::{self, Order, State},
};

/// Counts, and evaluates.
pub(crate) struct TokenRequest;

impl Operation for TokenRequest {
    type Endpoint = tokens::TokenRequest;
    type Service = AuthService;
    type State = State;
    type Sender = VerifiedClientCredential;

    fn voucher(call: &Decoded<Self>, cx: &Context<AuthService>) -> Result<Option<Need>, Failure> {
        issuance::voucher(key(call.request(), cx)?.class, call, cx)
    }

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let order = order(call.request(), key(call.request(), cx)?);
        Ok(issuance::locate(&order, account::claimed(call)?, cx))
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<State, Failure> {
        let order = order(call.request(), key(call.request(), cx)?);
        issuance::open(&order, account::claimed(call)?, &found, cx)
    }

    fn authenticate(
        call: &Decoded<Self>,
        state: &State,
        peers: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Proven<VerifiedClientCredential>, Failure> {
        issuance::authenticate(state, call.frame()?, peers, cx)
    }

    fn decide(
        state: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<SingleReply>, Failure> {
        let (request, client) = (call.request(), call.sender().client());
        let named = key(request, cx)?;
        let key = state.issuing(Some(named), named.class, cx)?;
        let counts = state.counted(&order(request, key), client, cx)?;
        let evaluation = key.secret.single(&request.blinded, cx.chance("proof"))?;
        Ok(issuance::decision(counts, Box::new(evaluation)))
    }
}

/// The key that the request names.
fn key<'a>(request: &SingleRequest, cx: &'a Context<AuthService>) -> Result<&'a TokenKey, Reject> {
    match request.token_type {
        TokenType::P384 => {}
        TokenType::Ristretto255 => return Err(Reject::Malformed("token type")),
    }
    cx.keys.service.tokens().truncated(request.truncated_key_id).ok_or(Reject::TokenInvalid)
}

/// The whole key id is hashed with the request: its last byte may come to name another key within a window.
fn order(request: &SingleRequest, key: &TokenKey) -> Order {
    let hashed = (request.clone(), *key.secret.key_id()).encode();
    Order { class: key.class, tokens: 1, hash: Bytes::copy_from_slice(&sha256(&hashed)) }
}
