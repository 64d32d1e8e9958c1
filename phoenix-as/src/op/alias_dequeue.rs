//! `alias_dequeue`: reads an alias's direct queue (04, 06).

use phoenix_core::{
    Failure, Reject,
    api::{auth, queue::DequeueReply},
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    queue::check_dequeue,
};

use crate::{
    AuthService,
    alias::{self, Known},
    direct_queue::{self, DirectQueue},
    kinds,
};

/// Answers with entries, and deletes those that were acknowledged.
pub(crate) struct AliasDequeue;

/// The alias and its queue, where there are.
pub(crate) struct State {
    alias: Option<Known>,
    queue: Option<DirectQueue>,
}

impl Operation for AliasDequeue {
    type Endpoint = auth::AliasDequeue;
    type Service = AuthService;
    type State = State;
    type Sender = Anyone;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        let alias = alias::claimed(call)?;
        let queue = kinds::alias_queue(alias, cx);
        match found.len() {
            0 => {
                check_dequeue(call.request())?;
                Ok(vec![alias::reading(alias, cx), direct_queue::reading(queue)])
            }
            2 => {
                alias::prove(call, alias::found(found, 0, cx)?.as_ref())?;
                Ok(vec![direct_queue::reading_entries(queue, call.request())])
            }
            _ => Ok(Vec::new()),
        }
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<State, Failure> {
        let at = kinds::alias_queue(alias::claimed(call)?, cx);
        let queue = DirectQueue::found(&found, 1, at)?;
        let queue = queue.map(|queue| queue.with_entries(&found, 2)).transpose()?;
        Ok(State { alias: alias::found(&found, 0, cx)?, queue })
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
    ) -> Result<Decision<DequeueReply>, Failure> {
        state.queue.ok_or(Reject::NotFound)?.read(call.request(), cx)
    }
}
