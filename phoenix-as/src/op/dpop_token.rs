//! `dpop_token`: says to other homeservers who a user is (05, "DPoP").
//!
//! The frame is accepted once and covers the proof, so the proof's own name is not remembered here: whoever replays it
//! needs the client's key for another frame, and gets a token that nobody but the proof's maker can use.

use std::collections::BTreeSet;

use phoenix_core::{
    Failure, Reject, Timestamp,
    api::tokens::{self, DpopTokenReply},
    credential::VerifiedClientCredential,
    dpop::{DpopError, DpopGrant, DpopProof, TOKEN_S, token_target},
    operation::{Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    wire::Opaque,
};

use crate::{
    AuthService, account,
    audiences::{self, Audiences},
    record::Client,
};

/// Signs a token.
pub(crate) struct DpopToken;

/// What is there.
pub(crate) struct State {
    client: Option<Client>,
    audiences: Audiences,
}

impl Operation for DpopToken {
    type Endpoint = tokens::DpopToken;
    type Service = AuthService;
    type State = State;
    type Sender = VerifiedClientCredential;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let id = account::claimed_local(call, cx)?;
        Ok(vec![account::reading(id), audiences::reading(&id.user)])
    }

    fn open(_: &Decoded<Self>, found: Rows, _: &Context<AuthService>) -> Result<State, Failure> {
        Ok(State { client: account::found(&found, 0)?, audiences: Audiences::found(&found, 1)? })
    }

    fn authenticate(
        call: &Decoded<Self>,
        state: &State,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Proven<VerifiedClientCredential>, Failure> {
        Ok(account::prove(call.frame()?, state.client.as_ref(), cx)?)
    }

    fn decide(
        state: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<DpopTokenReply>, Failure> {
        let (request, sender) = (call.request(), call.sender());
        let unlike: BTreeSet<_> = request.audiences.iter().collect();
        if unlike.is_empty() || unlike.len() != request.audiences.len() {
            return Err(Reject::Malformed("audiences").into());
        }
        let proof = std::str::from_utf8(&request.proof).map_err(|_| Reject::Malformed("proof"))?;
        let target = token_target(&cx.domain);
        let proof = DpopProof::verify(proof, "POST", &target, cx.now).map_err(refusal)?;
        let signer = cx.keys.service.dpop_signer(cx.now).ok_or(Reject::Unavailable(NO_KEY_RETRY_S))?;
        let credential = sender.credential();
        // The token ends with the credential, which may end first.
        let ends = account::ends(credential.payload.validity.not_after);
        let now = Timestamp::from_secs(cx.now.as_secs());
        let expires = now.plus_secs(TOKEN_S).min(ends);
        let grant = DpopGrant {
            user: &sender.client().user,
            client: credential.fingerprint(),
            audiences: &request.audiences,
            key: proof.key(),
            issued: now,
            expires,
            id: cx.chance("token").bytes(),
        };
        let token = Opaque::new(grant.sign(signer)).map_err(|_| Reject::Internal)?;
        let decision = Decision::reply(DpopTokenReply { token, expires: expires.as_secs() });
        let noted = state.audiences.noted(decision, grant.user, (&request.audiences, expires), cx)?;
        Ok(account::seen(noted, sender.client(), state.client, cx))
    }
}

/// What is wrong with a proof; where that is its time, the answer to the frame's tells the clock.
const fn refusal(error: DpopError) -> Reject {
    match error {
        DpopError::Proof(part) | DpopError::Token(part) => Reject::Malformed(part),
        DpopError::Missing | DpopError::Nonce => Reject::Malformed("proof"),
    }
}

/// When to come back where no key signs: the keys are looked at each minute.
const NO_KEY_RETRY_S: u32 = 60;
