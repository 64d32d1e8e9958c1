//! `lookup`: a client has another AS asked (08, "User lifecycle").
//!
//! The client's token has paid before anybody is asked, and nothing of the answer is kept.

use bytes::Bytes;
use phoenix_core::{
    ErrorReply, Failure, Reject,
    api::{
        Endpoint, ServiceName,
        auth::{
            self, GetConnectionPackage, GetProfile, GetProfileRequest, LookedUp, LookupReply, LookupRequest,
        },
    },
    credential::VerifiedClientCredential,
    operation::{
        Authorised, Context, Decision, Decoded, Inquiry, Need, Next, Operation, Peers, Proven, Reading, Rows,
    },
    port::{Circuit, Outgoing},
    wire::{Call, Opaque, VERSION, Wire},
};

use crate::{AuthService, account, record::Client};

/// Asks, and hands the answer on.
pub(crate) struct Lookup;

impl Operation for Lookup {
    type Endpoint = auth::Lookup;
    type Service = AuthService;
    type State = Option<Client>;
    type Sender = VerifiedClientCredential;

    /// Where nobody is asked, none pays for being told so.
    fn voucher(call: &Decoded<Self>, cx: &Context<AuthService>) -> Result<Option<Need>, Failure> {
        account::claimed_local(call, cx)?;
        let domain = &call.request().user.domain;
        if !cx.settings.lookups {
            return Err(Reject::Forbidden.into());
        }
        if *domain == cx.domain {
            return Err(Reject::Malformed("a user of this homeserver").into());
        }
        cx.federation.admit(domain)?;
        Ok(None)
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

    /// The keys are not needed: who publishes some is a homeserver, and no other host is ever sent anything (08).
    fn requires(call: &Decoded<Self>, _: &Option<Client>) -> Result<Vec<Need>, Failure> {
        let domain = call.request().user.domain.clone();
        Ok(vec![Need::keys(domain, ServiceName::As)])
    }

    fn decide(
        known: Option<Client>,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<LookupReply>, Failure> {
        let LookupRequest { user, wanted, token } = call.request().clone();
        let to = user.domain.clone();
        let (description, body) = match wanted {
            LookedUp::ConnectionPackages => (GetConnectionPackage::DESCRIPTION, user.encode()),
            LookedUp::Profile(version) => {
                (GetProfile::DESCRIPTION, GetProfileRequest { user, version }.encode())
            }
        };
        let body = Opaque::new(body).map_err(Reject::from)?;
        let asked = Call { version: VERSION, endpoint: description.id, auth: None, token: Some(token), body };
        let outgoing = Outgoing {
            service: ServiceName::As,
            name: description.name,
            call: asked,
            circuit: Circuit::default(),
        };
        let answer = Box::new(move |answer| told(&wanted, answer));
        let decision = Decision::new(Next::Ask(Box::new(Inquiry { to, outgoing, answer })));
        Ok(account::seen(decision, call.sender().client(), known, cx))
    }
}

/// The answer, where it is one to what was wanted.
fn told(wanted: &LookedUp, answer: Result<Bytes, ErrorReply>) -> Option<LookupReply> {
    Some(match (answer, wanted) {
        (Ok(reply), LookedUp::ConnectionPackages) => {
            LookupReply::ConnectionPackages(Wire::decode(&reply).ok()?)
        }
        (Ok(reply), LookedUp::Profile(_)) => LookupReply::Profile(Wire::decode(&reply).ok()?),
        (Err(refused), _) => LookupReply::Refused(refused),
    })
}
