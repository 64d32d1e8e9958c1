//! `revoked_since`: what came to the list of void credentials after a serial (04).

use phoenix_core::{
    Failure,
    api::auth::{self, RevokedSinceReply},
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Effort, Operation, Peers, Proven, Reading, Rows,
    },
};

use crate::{
    AuthService,
    revocations::{self, Revocations},
};

/// Answers with the authority's statement and the entries that are new.
pub(crate) struct RevokedSince;

impl Operation for RevokedSince {
    type Endpoint = auth::RevokedSince;
    type Service = AuthService;
    type State = Revocations;
    type Sender = Anyone;
    /// A full list takes milliseconds to read and to sign.
    const EFFORT: Effort = Effort::Heavy;

    fn locate(_: &Decoded<Self>, found: &Rows, _: &Context<AuthService>) -> Result<Vec<Reading>, Failure> {
        Ok(if found.is_empty() { vec![revocations::reading()] } else { Vec::new() })
    }

    fn open(_: &Decoded<Self>, found: Rows, _: &Context<AuthService>) -> Result<Revocations, Failure> {
        Ok(Revocations::found(&found, 0)?)
    }

    fn authenticate(
        _: &Decoded<Self>,
        _: &Revocations,
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        revocations: Revocations,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<RevokedSinceReply>, Failure> {
        let statement = cx.keys.service.statement().clone();
        let delta = revocations.since(*call.request(), cx)?;
        Ok(Decision::reply(RevokedSinceReply { statement, delta }))
    }
}
