//! `update_profile`: a version of a user's profile (04).
//!
//! A version must be higher than those before: `conflict` carries the latest, for a client whose user published with
//! another one meanwhile. It is not much higher, or one client could leave the others no number. The latest itself may come again unchanged, from a client that lost the answer.

use phoenix_core::{
    Failure, Reject, Timestamp,
    api::{
        Empty,
        auth::{self, MAX_PROFILE, Profile},
    },
    credential::VerifiedClientCredential,
    operation::{Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    wire::Opaque,
};

use crate::{AuthService, account, kinds, profiles, record::Client};

/// Adds the version.
pub(crate) struct UpdateProfile;

/// What is there already.
pub(crate) struct State {
    client: Option<Client>,
    /// The number of the latest version.
    latest: Option<u32>,
    /// The version of the request's number.
    same: Option<Opaque<MAX_PROFILE>>,
    /// When the profile ends.
    ends: Option<Timestamp>,
}

impl Operation for UpdateProfile {
    type Endpoint = auth::UpdateProfile;
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
        let client = account::claimed_local(call, cx)?;
        let profile = profiles::reading_to_change(&client.user, call.request().version);
        Ok(vec![account::reading(client), profile])
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<State, Failure> {
        Ok(State {
            client: account::found(&found, 0)?,
            latest: profiles::latest(&found, 1)?,
            same: profiles::found(&found, 1, call.request().version, cx)?,
            ends: found.place(1)?.alarm,
        })
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
    ) -> Result<Decision<Empty>, Failure> {
        let Profile { version, ciphertext } = call.request();
        let State { client, latest, same, ends } = state;
        let id = call.sender().client();
        let writes = match latest {
            Some(latest) if *version == latest && same.as_ref() == Some(ciphertext) => Vec::new(),
            Some(latest) if *version <= latest => {
                return Err(Reject::Conflict(Some(u64::from(latest))).into());
            }
            _ if *version > profiles::highest(latest) => return Err(Reject::Malformed("version").into()),
            _ => profiles::update(*version, latest, ciphertext),
        };
        let alarm = profiles::lasting(ends, cx);
        let decision = Decision::reply(Empty {}).change(kinds::profile(&id.user), writes, alarm);
        Ok(account::seen(decision, id, client, cx))
    }
}
