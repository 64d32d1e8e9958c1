//! `alias_register`: takes an alias (04).
//!
//! It is paid with an anonymous token and signed with a key of its own, so nothing relates it to its owner. It lies
//! under a keyed hash; its partition's alarm is its expiry.

use phoenix_core::{
    Failure, Reject,
    api::{Empty, auth},
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::{Alarm, Write},
};

use crate::{
    AuthService,
    alias::{self, Known},
    direct_queue, kinds,
    record::{self, Alias},
};

/// Registers an alias.
pub(crate) struct AliasRegister;

impl Operation for AliasRegister {
    type Endpoint = auth::AliasRegister;
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
        call.request().auth_key.check()?;
        Ok(vec![alias::reading_to_change(&call.request().alias, cx)])
    }

    fn open(_: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<Option<Known>, Failure> {
        alias::found(&found, 0, cx)
    }

    fn authenticate(
        call: &Decoded<Self>,
        _: &Option<Known>,
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(call.frame()?.prove_new_key(&call.request().auth_key, Anyone)?)
    }

    fn decide(
        taken: Option<Known>,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<Empty>, Failure> {
        if taken.is_some() {
            return Err(Reject::AlreadyExists.into());
        }
        let request = call.request();
        let queue = direct_queue::creation(&request.queue_key, cx)?;
        let record = record::encode(&Alias { auth_key: request.auth_key.clone() });
        let ends = cx.now.plus_secs(cx.settings.alias_s);
        // What is left of an earlier owner's goes, where the sweeper has not come by yet.
        Ok(Decision::reply(Empty {})
            .change(kinds::alias(&request.alias, cx), vec![Write::Put(record::ROW, record)], Alarm::At(ends))
            .change(kinds::alias_queue(&request.alias, cx), queue, Alarm::At(alias::cleared(ends)))
            .change(kinds::alias_packages(&request.alias, cx), vec![Write::Drop], Alarm::Never))
    }
}
