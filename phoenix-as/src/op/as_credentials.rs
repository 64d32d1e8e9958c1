//! `as_credentials`: what vouches for the clients of this domain, and which of them are void (04).

use phoenix_core::{
    Failure,
    api::auth,
    credential::AsIdentity,
    operation::{
        Anyone, Authorised, Context, Decision, Decoded, Effort, Operation, Peers, Proven, Reading, Rows,
    },
};

use crate::{
    AuthService,
    revocations::{self, Revocations},
};

/// Answers with roots, statement, intermediates and revocation list.
pub struct AsCredentials;

impl Operation for AsCredentials {
    type Endpoint = auth::AsCredentials;
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
        _: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<AsIdentity>, Failure> {
        Ok(Decision::reply(cx.keys.service.identity(revocations.list(cx)?)))
    }
}
