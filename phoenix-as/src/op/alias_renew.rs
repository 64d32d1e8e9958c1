//! `alias_renew`: another year for an alias (04), while it lives.

use phoenix_core::{
    Failure, Timestamp,
    api::{Empty, auth},
    credential::PackagePayload,
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::Alarm,
};

use crate::{
    AuthService,
    alias::{self, Known},
    kinds, packages,
};

/// Moves the end of an alias, of its queue, and of the packages that last as long.
pub(crate) struct AliasRenew;

/// The alias, and when the last of its packages has ended.
pub(crate) struct State {
    alias: Option<Known>,
    packages: Option<Timestamp>,
}

impl Operation for AliasRenew {
    type Endpoint = auth::AliasRenew;
    type Service = AuthService;
    type State = State;
    type Sender = Anyone;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let alias = alias::claimed(call)?;
        let packages = packages::reading_all(kinds::alias_packages(alias, cx));
        Ok(vec![alias::reading_to_change(alias, cx), packages])
    }

    fn open(_: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<State, Failure> {
        let packages = packages::ended::<PackagePayload>(&found, 1)?;
        Ok(State { alias: alias::found(&found, 0, cx)?, packages })
    }

    fn authenticate(
        call: &Decoded<Self>,
        state: &State,
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(alias::prove(call, state.alias.as_ref())?)
    }

    fn decide(
        state: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<Empty>, Failure> {
        let alias = alias::named(call.frame()?)?;
        let ends = cx.now.plus_secs(cx.settings.alias_s);
        let cleared = alias::cleared(ends);
        let decision = Decision::reply(Empty {})
            .change(kinds::alias(alias, cx), Vec::new(), Alarm::At(ends))
            .change(kinds::alias_queue(alias, cx), Vec::new(), Alarm::At(cleared));
        Ok(match state.packages {
            Some(ended) => {
                let alarm = Alarm::At(ended.min(cleared));
                decision.change(kinds::alias_packages(alias, cx), Vec::new(), alarm)
            }
            None => decision,
        })
    }
}
