//! `renew_credential`: the same client and key for another while (03, 04).
//!
//! The credential that was renewed stays good until it ends, and is revoked together with the new one. Renewal never
//! shortens: the record ends with the credential in it. Connection packages carry the credential of their time and end
//! with it, so they are published anew.

use phoenix_core::{
    Failure, Reject, Timestamp,
    api::auth,
    credential::{ClientCredential, VerifiedClientCredential},
    operation::{Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::{Wanted, Write},
    time::Month,
    wire::List,
};

use crate::{
    AuthService, account, kinds, profiles,
    record::{self, Client, Earlier, MAX_EARLIER},
};

/// Signs another credential of a client.
pub(crate) struct RenewCredential;

/// What is there.
pub(crate) struct State {
    client: Option<Client>,
    /// When the user's profile ends, if there is one.
    profile_ends: Option<Timestamp>,
}

impl Operation for RenewCredential {
    type Endpoint = auth::RenewCredential;
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
        let client = Reading::change(kinds::client(id), Wanted::Keys(vec![record::ROW]));
        Ok(vec![client, profiles::reading_to_keep(&id.user)])
    }

    fn open(_: &Decoded<Self>, found: Rows, _: &Context<AuthService>) -> Result<State, Failure> {
        Ok(State { client: account::found(&found, 0)?, profile_ends: found.place(1)?.alarm })
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
        State { client, profile_ends }: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<ClientCredential>, Failure> {
        let csr = call.request();
        let client = client.ok_or(Reject::Unauthenticated)?;
        let before = &client.credential.payload;
        if csr.payload.client != before.client {
            return Err(Reject::Malformed("client").into());
        }
        if csr.payload.key != before.key {
            return Err(Reject::Malformed("key").into());
        }
        if account::is_of(&client.credential, csr) {
            return Ok(Decision::reply(client.credential));
        }
        if csr.payload.validity.not_after < before.validity.not_after {
            return Err(Reject::Malformed("validity").into());
        }
        let earlier = match client.renewed(cx) {
            // The answer to the last renewal did not arrive, and no other can be given: that one is good.
            Err(_) if *call.sender().credential() != client.credential => {
                return Ok(Decision::reply(client.credential));
            }
            renewed => renewed?,
        };
        let credential = account::signed(csr, cx)?;
        let client = Client { credential, activity: Month::of(cx.now), earlier };
        let (id, alarm) = (call.sender().client(), client.alarm());
        let row = Write::Put(record::ROW, record::encode(&client));
        let decision = Decision::reply(client.credential).change(kinds::client(id), vec![row], alarm).change(
            kinds::client_queue(id),
            Vec::new(),
            alarm,
        );
        Ok(profiles::kept(decision, &id.user, profile_ends, cx))
    }
}

impl Client {
    /// The earlier credentials that it has once it is renewed: all that have not ended.
    fn renewed(&self, cx: &Context<AuthService>) -> Result<List<Earlier, MAX_EARLIER>, Reject> {
        let now = cx.now.as_secs();
        let earlier: Vec<_> = self.credentials().filter(|it| now <= it.not_after).collect();
        if earlier.len() > MAX_EARLIER {
            let first = earlier.iter().map(|it| it.not_after).min().unwrap_or(now);
            let seconds = first.saturating_add(1).saturating_sub(now);
            return Err(Reject::RateLimited(u32::try_from(seconds).unwrap_or(u32::MAX)));
        }
        Ok(List::new(earlier)?)
    }
}
