//! `make_invitation`: a client invites (05, "Registration policy").
//!
//! It costs an Alias token, so that an account cannot invite without end. Nothing that is stored relates the invitation
//! to who made it.

use phoenix_core::{
    Failure, Reject,
    api::{
        Empty,
        auth::{self, Invitation},
    },
    credential::VerifiedClientCredential,
    operation::{Authorised, Context, Decision, Decoded, Need, Operation, Peers, Proven, Reading, Rows},
};

use crate::{AuthService, account, invitations, policy::Requirement, record::Client};

/// Makes the invitation.
pub(crate) struct MakeInvitation;

impl Operation for MakeInvitation {
    type Endpoint = auth::MakeInvitation;
    type Service = AuthService;
    type State = Option<Client>;
    type Sender = VerifiedClientCredential;

    /// Where clients do not invite, none pays for being told so.
    fn voucher(call: &Decoded<Self>, cx: &Context<AuthService>) -> Result<Option<Need>, Failure> {
        account::claimed_local(call, cx)?;
        let settings = &cx.settings.registration;
        let may_invite = settings.clients_invite && settings.policy.demands(Requirement::Invitation);
        if may_invite { Ok(None) } else { Err(Reject::Forbidden.into()) }
    }

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![account::reading(account::claimed_local(call, cx)?)])
    }

    fn open(_: &Decoded<Self>, found: Rows, _: &Context<AuthService>) -> Result<Option<Client>, Failure> {
        account::found(&found, 0)
    }

    fn authenticate(
        call: &Decoded<Self>,
        known: &Option<Client>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Proven<VerifiedClientCredential>, Failure> {
        Ok(account::prove(call.frame()?, known.as_ref(), cx)?)
    }

    fn decide(
        known: Option<Client>,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<Invitation>, Failure> {
        let Empty {} = call.request();
        let decision = invitations::made(cx.settings.registration.invitation_s, cx);
        Ok(account::seen(decision, call.sender().client(), known, cx))
    }
}
