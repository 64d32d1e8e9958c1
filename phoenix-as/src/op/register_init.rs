//! `register_init`: begins a registration (04), if it brings what the policy demands (05).
//!
//! It is kept under a fresh random id, so that nobody can occupy or overwrite another's, and for ten minutes.
//! Whether the user exists already is seen when it is finished: the first to finish wins. Of what was brought only
//! what the alternative demands is used up: work here, an invitation when the registration is finished.
//!
//! Work is to be as hard as what is asked for now, but for a bit: whoever gathered challenges while few registered is
//! `rate_limited`, and the refusal carries what to do instead, as that of `add_client_init`. So it counts when it begins
//! a registration, not when that is finished.
//!
//! What is brought for the operator's judge is shown to it once all else is there. It may forbid the registration
//! then, also where another alternative would have let it in: who brings a proof is judged by it.

use std::collections::BTreeSet;

use bytes::Bytes;
use phoenix_core::{
    Failure, Refusal, Reject, UserId,
    api::auth::{self, RegisterInitReply, WorkProof},
    operation::{Anyone, Authorised, Context, Decision, Decoded, Operation, Peers, Proven, Reading, Rows},
    port::{Alarm, Write},
    time::HOUR,
    wire::Wire,
};

use crate::{
    AuthService, invitations, kinds,
    policy::{self, Brought, Requirement},
    record::{self, Registration},
    work::{self, Purpose},
};

/// Answers an OPAQUE registration request.
pub(crate) struct RegisterInit;

/// What the registration has to its credit.
pub(crate) struct State {
    /// The demands that are met, and what meets them is used up.
    met: BTreeSet<Requirement>,
    /// How many began with work in this hour, where work was brought.
    counted: u32,
}

impl Operation for RegisterInit {
    type Endpoint = auth::RegisterInit;
    type Service = AuthService;
    type State = State;
    type Sender = Anyone;

    /// The switch, then the invitation and the use of the work that were brought, and how much work is asked for.
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
            return Err(Reject::Malformed("user").into());
        }
        let brought = Brought::of(&request.proofs, &cx.settings.registration.policy)?;
        let mut readings = vec![policy::reading_switch()];
        readings.extend(brought.invitation.map(|code| invitations::reading(&invitations::hash(code, cx))));
        if let Some(proof) = brought.work {
            readings.push(work::reading(proof, cx));
            readings.extend(policy::reading_rate_to_change(cx));
        }
        Ok(readings)
    }

    /// A refusal tells nothing of what was wrong with a proof.
    fn open(call: &Decoded<Self>, found: Rows, cx: &Context<AuthService>) -> Result<Self::State, Failure> {
        if policy::is_closed(&found, 0)? {
            return Err(Reject::Forbidden.into());
        }
        let (request, policy) = (call.request(), &cx.settings.registration.policy);
        let brought = Brought::of(&request.proofs, policy)?;
        let is_invited = brought.invitation.is_some() && invitations::is_good(&found, 1, cx)?;
        let place = 1_usize.saturating_add(usize::from(brought.invitation.is_some()));
        let Worked { holds, is_enough, bits, counted } = match brought.work {
            Some(proof) => worked(proof, (&found, place), &request.user, cx)?,
            None => Worked::default(),
        };
        let met = |has_worked| {
            policy.met(|requirement| match requirement {
                Requirement::Invitation => is_invited,
                Requirement::Work => has_worked,
                // If it is wrong, the call does not get beyond the judge.
                Requirement::External => brought.external.is_some(),
            })
        };
        match (met(holds && is_enough), met(holds)) {
            (Some(met), _) => Ok(State { met, counted }),
            (None, Some(_)) => Err(harder(bits, cx).into()),
            (None, None) => Err(Reject::Forbidden.into()),
        }
    }

    fn authenticate(
        _: &Decoded<Self>,
        _: &Self::State,
        _: &Peers,
        _: &Context<AuthService>,
    ) -> Result<Proven<Anyone>, Failure> {
        Ok(Proven::anyone())
    }

    /// Follows from the request alone, since it is asked once, however often the call is decided.
    fn subject(call: &Decoded<Self>, _: &Self::State, cx: &Context<AuthService>) -> Option<Bytes> {
        let brought = Brought::of(&call.request().proofs, &cx.settings.registration.policy).ok()?;
        brought.external.map(|proof| proof.bytes())
    }

    fn decide(
        State { met, counted }: State,
        call: Authorised<Self>,
        _: &Peers,
        cx: &Context<AuthService>,
    ) -> Result<Decision<RegisterInitReply>, Failure> {
        let request = call.request();
        let brought = Brought::of(&request.proofs, &cx.settings.registration.policy)?;
        let registration = cx.chance("registration").bytes();
        let opaque = cx.keys.service.opaque().register(&request.opaque, &request.user, &registration)?;
        let invitation = brought.invitation.filter(|_| met.contains(&Requirement::Invitation));
        let begun = Registration {
            user: request.user.clone(),
            invitation: invitation.map(|code| invitations::hash(code, cx)),
        };
        let alarm = Alarm::At(cx.now.plus_secs(cx.settings.registration_s));
        let writes = vec![Write::Put(record::ROW, record::encode(&begun))];
        let decision = Decision::reply(RegisterInitReply { registration, opaque });
        let decision = decision.change(kinds::registration(&registration), writes, alarm);
        Ok(match brought.work.filter(|_| met.contains(&Requirement::Work)) {
            Some(proof) => policy::counted(work::used(decision, proof, cx), counted, cx),
            None => decision,
        })
    }
}

/// What is known of work that was brought.
#[derive(Default)]
struct Worked {
    /// It was asked for, done and not used.
    holds: bool,
    /// It is as hard as it must be.
    is_enough: bool,
    /// How hard work is now.
    bits: u8,
    /// How many began with work in this hour.
    counted: u32,
}

/// Looks at work, its use and the rate, which were read from a place on.
fn worked(
    proof: &WorkProof,
    (found, place): (&Rows, usize),
    user: &UserId,
    cx: &Context<AuthService>,
) -> Result<Worked, Failure> {
    let rate_at = place.saturating_add(1);
    let bits = cx.settings.registration.work.bits_at(policy::rate(found, rate_at)?);
    Ok(Worked {
        holds: !work::is_used(found, place)? && work::holds(proof, Purpose::Registration, user, cx),
        is_enough: work::is_enough(proof, bits),
        bits,
        counted: policy::count(found, rate_at)?,
    })
}

/// Tells whoever did too little what to do; in another hour it may be less.
fn harder(bits: u8, cx: &Context<AuthService>) -> Refusal {
    let seconds = HOUR.saturating_sub(cx.now.as_secs().checked_rem(HOUR).unwrap_or(0));
    let reject = Reject::RateLimited(u32::try_from(seconds).unwrap_or(u32::MAX));
    Refusal { reject, detail: work::challenge(Purpose::Registration, bits, cx).encode() }
}
