//! `token_keys`: the signed list of token keys (05), the same for everyone. Served from the keys; nothing is read.

use phoenix_core::{
    Failure,
    api::tokens,
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    token::SignedKeyList,
};

use crate::AuthService;

/// Answers with the list.
pub(crate) struct TokenKeys;

impl Operation for TokenKeys {
    type Endpoint = tokens::TokenKeys;
    type Service = AuthService;
    type State = ();
    type Sender = Anyone;

    fn locate(_: &Decoded<Self>, _: &Rows, _: &Context<AuthService>) -> Result<Vec<Reading>, Failure> {
        Ok(Vec::new())
    }

    fn open(_: &Decoded<Self>, _: Rows, _: &Context<AuthService>) -> Result<(), Failure> {
        Ok(())
    }

    fn authenticate(
        _: &Decoded<Self>,
        (): &(),
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        (): (),
        _: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<SignedKeyList>, Failure> {
        Ok(Decision::reply(cx.keys.service.key_list().clone()))
    }
}
