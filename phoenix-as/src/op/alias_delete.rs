//! `alias_delete`: the end of an alias (04). Anyone may register it anew; a frame of the old owner does nothing to the
//! new one, whose key is another, and is accepted once besides.

use phoenix_core::{
    Failure,
    api::{Empty, auth},
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::{Alarm, Write},
};

use crate::{
    AuthService,
    alias::{self, Known},
    kinds,
};

/// Deletes an alias, with its queue and its packages.
pub(crate) struct AliasDelete;

impl Operation for AliasDelete {
    type Endpoint = auth::AliasDelete;
    type Service = AuthService;
    type State = Option<Known>;
    type Sender = Anyone;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![alias::reading_to_change(alias::claimed(call)?, cx)])
    }

    fn open(_: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<Option<Known>, Failure> {
        alias::found(&found, 0, cx)
    }

    fn authenticate(
        call: &Decoded<Self>,
        known: &Option<Known>,
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(alias::prove(call, known.as_ref())?)
    }

    fn decide(
        _: Option<Known>,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<Empty>, Failure> {
        let alias = alias::named(call.frame()?)?;
        let places =
            [kinds::alias(alias, cx), kinds::alias_queue(alias, cx), kinds::alias_packages(alias, cx)];
        let dropped = |decision: Decision<_>, at| decision.change(at, vec![Write::Drop], Alarm::Never);
        Ok(places.into_iter().fold(Decision::reply(Empty {}), dropped))
    }
}
