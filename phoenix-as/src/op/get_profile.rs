//! `get_profile`: a version of a user's profile (04).
//!
//! A user that is not there, one without a profile, and a version that is not there are not told apart: of each the
//! same place is read.

use phoenix_core::{
    Failure, Reject,
    api::auth::{self, MAX_PROFILE},
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    wire::Opaque,
};

use crate::{AuthService, profiles};

/// Answers with the ciphertext.
pub(crate) struct GetProfile;

impl Operation for GetProfile {
    type Endpoint = auth::GetProfile;
    type Service = AuthService;
    type State = Opaque<MAX_PROFILE>;
    type Sender = Anyone;

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let request = call.request();
        if request.user.domain != cx.domain {
            return Err(Reject::NotFound.into());
        }
        Ok(vec![profiles::reading(&request.user, request.version)])
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<Self::State, Failure> {
        Ok(profiles::found(&found, 0, call.request().version, cx)?.ok_or(Reject::NotFound)?)
    }

    fn authenticate(
        _: &Decoded<Self>,
        _: &Self::State,
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    fn decide(
        profile: Self::State,
        _: Authorised<Self>,
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Decision<Opaque<MAX_PROFILE>>, Failure> {
        Ok(Decision::reply(profile))
    }
}
