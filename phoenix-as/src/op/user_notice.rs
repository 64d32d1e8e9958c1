//! `user_notice`: another homeserver says what became of a user of its own (08, "User lifecycle").

use phoenix_core::{
    Failure, Fqdn, Reject,
    api::{
        Empty, ServiceName,
        auth::{self, UserEvent, UserNoticeRequest},
    },
    operation::{
        Authorised, Context, Decision, Decoded, Hint, Local, Need, Operation, Peers, Proven, Reading, Rows,
    },
    port::{Alarm, Wanted, Write},
    token::Class,
    wire::Sender,
};

use super::visit;
use crate::{AuthService, allowance::Window, kinds};

/// Drops what is kept of the user, whom only its own homeserver can declare deleted.
pub(crate) struct UserNotice;

impl Operation for UserNotice {
    type Endpoint = auth::UserNotice;
    type Service = AuthService;
    /// Where something of the user lies.
    type State = Vec<Local>;
    type Sender = Fqdn;

    fn voucher(call: &Decoded<Self>, cx: &Context<AuthService>) -> Result<Option<Need>, Failure> {
        // Before anyone is asked about it: who speaks of another's users is not worth a question.
        let domain = &call.request().user.domain;
        match call.frame()?.sender() {
            Sender::Homeserver(sender, ServiceName::As, _) if sender == domain && *domain != cx.domain => {
                Ok(call.frame()?.voucher(&cx.domain))
            }
            _ => Err(Reject::Forbidden.into()),
        }
    }

    fn locate(
        call: &Decoded<Self>,
        found: &Rows,
        cx: &Context<AuthService>,
    ) -> Result<Vec<Reading>, Failure> {
        if !found.is_empty() {
            return Ok(Vec::new());
        }
        let places = indices(call.request(), cx).into_iter();
        Ok(places.map(|at| Reading::change(at, Wanted::first(MOST))).collect())
    }

    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<Vec<Local>, Failure> {
        let mut remains = Vec::new();
        for (place, index) in indices(call.request(), cx).into_iter().enumerate() {
            remains.extend(found.rows(place)?.iter().map(|(key, _)| kinds::issued_at(key.clone())));
            remains.push(index);
        }
        Ok(remains)
    }

    fn authenticate(
        call: &Decoded<Self>,
        _: &Vec<Local>,
        peers: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Proven<Fqdn>, Failure> {
        let frame = call.frame()?;
        let Sender::Homeserver(domain, _, key) = frame.sender() else {
            return Err(Reject::Unauthenticated.into());
        };
        let key = peers.auth(domain)?.service_key(key, cx.now).ok_or(Reject::Unauthenticated)?;
        Ok(frame.prove(key, domain.clone())?)
    }

    fn decide(
        remains: Vec<Local>,
        call: Authorised<Self>,
        peers: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<Empty>, Failure> {
        let UserNoticeRequest { user, event: UserEvent::Deleted, serial } = call.request();
        let decision = remains.into_iter().fold(Decision::reply(Empty {}), |decision, at| {
            decision.change(at, vec![Write::Drop], Alarm::Never)
        });
        let decision = visit::gone(user, decision, cx);
        let domain = call.sender();
        let is_older = peers.auth(domain)?.revocation_serial() < *serial;
        Ok(if is_older { decision.hint(Hint::Outdated(domain.clone())) } else { decision })
    }
}

/// Where it is noted what was issued to the user's clients: today, and yesterday, which may not be forgotten yet. Others
/// than these classes, clients of other homeservers do not get.
fn indices(request: &UserNoticeRequest, cx: &Context<AuthService>) -> Vec<Local> {
    let windows = [Class::Standard, Class::Contact].into_iter().flat_map(|class| {
        let window = Window::of(class, cx.now).number;
        [window, window.saturating_sub(1)].map(|window| (class, window))
    });
    windows.map(|(class, window)| kinds::issued_of(&request.user, class, window, cx)).collect()
}

/// Clients of a user whose records of one class and day go at once: all that a user has (04), and no more than one batch
/// takes. What a homeserver has of more than that is its own doing, and gone a day later.
const MOST: u32 = 10;
