//! `issue_tokens`: anonymous tokens for clients, local and remote, in batches of type 0x0005 (05).

use bytes::Bytes;
use phoenix_core::{
    Failure,
    api::tokens::{self, IssueReply, IssueRequest},
    credential::VerifiedClientCredential,
    crypto::sha256,
    operation::{
        Authorised, Context, Decision, Decoded, Effort, Need, Operation, Peers, Proven, Reading, Rows,
    },
    wire::Wire,
};

use crate::{
    AuthService, account,
    issuance::{self, Order, State},
};

/// Counts, and evaluates.
pub(crate) struct IssueTokens;

impl Operation for IssueTokens {
    type Endpoint = tokens::IssueTokens;
    type Service = AuthService;
    type State = State;
    type Sender = VerifiedClientCredential;
    // Reading 100 elements takes about a millisecond.
    const EFFORT: Effort = Effort::Heavy;

    fn voucher(call: &Decoded<Self>, cx: &Context<AuthService>) -> Result<Option<Need>, Failure> {
        issuance::voucher(call.request().class, call, cx)
    }

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        Ok(issuance::locate(&order(call.request()), account::claimed(call)?, cx))
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<State, Failure> {
        issuance::open(&order(call.request()), account::claimed(call)?, &found, cx)
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
    ) -> Result<Decision<IssueReply>, Failure> {
        let (request, client) = (call.request(), call.sender().client());
        let named = cx.keys.service.tokens().by_id(&request.key);
        let key = state.issuing(named, request.class, cx)?;
        let counts = state.counted(&order(request), client, cx)?;
        // The elements are read now, so that what is none counts nothing, and evaluated after the commit.
        let evaluation = key.secret.batch(&request.blinded, cx.chance("proof"))?;
        Ok(issuance::decision(counts, Box::new(evaluation)))
    }
}

fn order(request: &IssueRequest) -> Order {
    Order {
        class: request.class,
        tokens: u64::try_from(request.blinded.len()).unwrap_or(u64::MAX),
        hash: Bytes::copy_from_slice(&sha256(&request.encode())),
    }
}
