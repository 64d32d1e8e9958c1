//! `dequeue_offers`: reads a client's direct queue (04, 06).

use phoenix_core::{
    Failure, Reject,
    api::{auth, queue::DequeueReply},
    credential::VerifiedClientCredential,
    operation::{Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    queue::check_dequeue,
};

use crate::{
    AuthService, account,
    direct_queue::{self, DirectQueue},
    kinds,
    record::Client,
};

/// Answers with entries, and deletes those that were acknowledged.
pub(crate) struct DequeueOffers;

/// The client and its queue, where there are.
pub(crate) struct State {
    client: Option<Client>,
    queue: Option<DirectQueue>,
}

impl Operation for DequeueOffers {
    type Endpoint = auth::DequeueOffers;
    type Service = AuthService;
    type State = State;
    type Sender = VerifiedClientCredential;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        let client = account::claimed_local(call, cx)?;
        let queue = kinds::client_queue(client);
        match found.len() {
            0 => {
                check_dequeue(call.request())?;
                Ok(vec![account::reading(client), direct_queue::reading(queue)])
            }
            2 => {
                account::prove(call.frame()?, account::found(found, 0)?.as_ref(), cx)?;
                Ok(vec![direct_queue::reading_entries(queue, call.request())])
            }
            _ => Ok(Vec::new()),
        }
    }

    fn open(call: &Decoded<Self>, found: Rows, _: &Context<AuthService>) -> Result<State, Failure> {
        let queue = DirectQueue::found(&found, 1, kinds::client_queue(account::claimed(call)?))?;
        let queue = queue.map(|queue| queue.with_entries(&found, 2)).transpose()?;
        Ok(State { client: account::found(&found, 0)?, queue })
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
    ) -> Result<Decision<DequeueReply>, Failure> {
        let decision = state.queue.ok_or(Reject::NotFound)?.read(call.request(), cx)?;
        Ok(account::seen(decision, call.sender().client(), state.client, cx))
    }
}
