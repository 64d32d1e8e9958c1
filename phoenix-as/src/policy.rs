//! What a registration must bring (05, "Registration policy"), and how hard its work is.
//!
//! The policy is a value, and/or of three things that can be demanded. The external verdict is the `Policy` port's:
//! `register_init` only says what it is to judge. Beside the policy there is a switch, a row that closes registration
//! at once, on all replicas.

use std::collections::BTreeSet;

use phoenix_core::{
    Failure, Fault, Reject, Timestamp,
    api::auth::{
        ChallengeReply, Demand, InvitationCode, MAX_ALTERNATIVES, MAX_BITS, MAX_DEMANDS, MAX_EXTERNAL,
        RegistrationProof, WorkChallenge, WorkProof,
    },
    operation::{Context, Decision, Purpose, Reading, Rows},
    port::{Alarm, Wanted, Write},
    time::{DAY, HOUR},
    wire::{List, Opaque},
};

use crate::{AuthService, kinds, record};

/// What an operator says about registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationSettings {
    /// What a registration must bring.
    pub policy: RegistrationPolicy,
    /// How hard its work is, where it must bring some.
    pub work: WorkSettings,
    /// Tells clients what the operator's judge wants to see, where there is one: at most 8 KiB, the rest is cut off.
    pub hint: String,
    /// Whether clients may invite, with an Alias token each time; the operator always may.
    pub clients_invite: bool,
    /// How long an invitation by a client is good, in seconds.
    pub invitation_s: u64,
}

impl Default for RegistrationSettings {
    fn default() -> Self {
        Self {
            policy: RegistrationPolicy::open(),
            work: WorkSettings::default(),
            hint: String::new(),
            clients_invite: false,
            invitation_s: 30 * DAY,
        }
    }
}

/// How hard the work of a registration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkSettings {
    /// Leading zero bits while few register: each one more doubles the work, and 20 take half a second.
    pub bits: u8,
    /// Registrations begun with work in an hour from which on it takes one bit more; each doubling adds another.
    pub busy_at: u32,
}

impl Default for WorkSettings {
    fn default() -> Self {
        Self { bits: 20, busy_at: 60 }
    }
}

impl WorkSettings {
    /// The bits at a rate of registrations an hour; at most [`MAX_BITS`].
    pub(crate) fn bits_at(&self, rate: u32) -> u8 {
        let times = rate.checked_div(self.busy_at.max(1)).unwrap_or(0);
        let more = times.checked_ilog2().map_or(0, |doublings| doublings.saturating_add(1));
        self.bits.saturating_add(u8::try_from(more).unwrap_or(u8::MAX)).min(MAX_BITS)
    }
}

/// What a registration must bring: alternatives, each of which is a set of demands. Of three demands there are eight
/// sets, so that no policy is too long to be told to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationPolicy(BTreeSet<BTreeSet<Requirement>>);

/// One thing that can be demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Requirement {
    Invitation,
    Work,
    External,
}

impl RegistrationPolicy {
    /// Anyone may register.
    #[must_use]
    pub fn open() -> Self {
        Self(BTreeSet::from([BTreeSet::new()]))
    }

    /// Nobody may register.
    #[must_use]
    pub const fn closed() -> Self {
        Self(BTreeSet::new())
    }

    /// Who has an invitation that was not used yet.
    #[must_use]
    pub fn invitation() -> Self {
        Self::only(Requirement::Invitation)
    }

    /// Who has done work, the more the more register.
    #[must_use]
    pub fn work() -> Self {
        Self::only(Requirement::Work)
    }

    /// Who satisfies the operator's own judge: the `Policy` port is asked with the proof as its question's subject.
    /// Where none but the default policy is there to be asked, nobody does.
    #[must_use]
    pub fn external() -> Self {
        Self::only(Requirement::External)
    }

    /// Who satisfies both.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        let both = |one: &BTreeSet<_>| other.0.iter().map(|it| it | one).collect::<Vec<_>>();
        Self(self.0.iter().flat_map(both).collect())
    }

    /// Who satisfies either.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    fn only(requirement: Requirement) -> Self {
        Self(BTreeSet::from([BTreeSet::from([requirement])]))
    }

    /// Whether an alternative demands this.
    pub(crate) fn demands(&self, requirement: Requirement) -> bool {
        self.0.iter().any(|alternative| alternative.contains(&requirement))
    }

    /// The first alternative all of whose demands are met.
    pub(crate) fn met(&self, is_met: impl Fn(Requirement) -> bool) -> Option<BTreeSet<Requirement>> {
        self.0.iter().find(|alternative| alternative.iter().all(|it| is_met(*it))).cloned()
    }
}

impl RegistrationSettings {
    /// What clients are told. All alternatives with work ask for the same: it is done once, whichever is chosen.
    ///
    /// # Errors
    /// None in practice: the bounds are those of three demands.
    pub(crate) fn told(&self, work: &WorkChallenge) -> Result<ChallengeReply, Reject> {
        const { assert!(MAX_ALTERNATIVES >= 1 << 3 && MAX_DEMANDS >= 3) };
        let demand = |requirement: &Requirement| match requirement {
            Requirement::Invitation => Demand::Invitation,
            Requirement::Work => Demand::Work(work.clone()),
            Requirement::External => Demand::External(Opaque::truncated(self.hint.clone().into())),
        };
        let alternative = |it: &BTreeSet<Requirement>| List::new(it.iter().map(demand).collect());
        let alternatives = self.policy.0.iter().map(alternative).collect::<Result<_, _>>()?;
        Ok(ChallengeReply { alternatives: List::new(alternatives)? })
    }
}

/// What a registration brings of what the policy knows, at most one of each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Brought<'a> {
    pub(crate) invitation: Option<&'a InvitationCode>,
    pub(crate) work: Option<&'a WorkProof>,
    pub(crate) external: Option<&'a Opaque<MAX_EXTERNAL>>,
}

impl<'a> Brought<'a> {
    /// Sorts what was brought; what no alternative demands is left aside, and so never used up.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where there are two of a kind.
    pub(crate) fn of(proofs: &'a [RegistrationProof], policy: &RegistrationPolicy) -> Result<Self, Reject> {
        let mut brought = Self::default();
        for proof in proofs {
            let is_second = match proof {
                RegistrationProof::Invitation(code) => brought.invitation.replace(code).is_some(),
                RegistrationProof::Work(work) => brought.work.replace(work).is_some(),
                RegistrationProof::External(proof) => brought.external.replace(proof).is_some(),
            };
            if is_second {
                return Err(Reject::Malformed("proofs"));
            }
        }
        Ok(Self {
            invitation: brought.invitation.filter(|_| policy.demands(Requirement::Invitation)),
            work: brought.work.filter(|_| policy.demands(Requirement::Work)),
            external: brought.external.filter(|_| policy.demands(Requirement::External)),
        })
    }
}

/// Reads the switch, to rely on it.
pub(crate) fn reading_switch() -> Reading {
    Reading::watch(kinds::registration_switch(), Wanted::Keys(vec![record::ROW]))
}

/// Whether the switch that [`reading_switch`] asked for closes registration.
///
/// # Errors
/// A fault where it was not asked for.
pub(crate) fn is_closed(rows: &Rows, place: usize) -> Result<bool, Fault> {
    Ok(rows.row(place, &record::ROW)?.is_some())
}

/// The hour that registrations are counted in.
fn hour(now: Timestamp) -> u64 {
    now.as_secs().checked_div(HOUR).unwrap_or(0)
}

/// Reads how many began to register with work in this hour and the one before it, for the rate.
pub(crate) fn reading_rate(cx: &Context<AuthService>) -> [Reading; 2] {
    let now = hour(cx.now);
    let count = |hour| Reading::glance(kinds::registered(hour, cx), Wanted::Keys(vec![record::ROW]));
    [count(now), count(now.saturating_sub(1))]
}

/// The same, to count another.
pub(crate) fn reading_rate_to_change(cx: &Context<AuthService>) -> [Reading; 2] {
    let [now, before] = reading_rate(cx);
    [Reading { purpose: Purpose::Change, ..now }, before]
}

/// The rate, from places that [`reading_rate`] asked for: of the fuller of the two hours, so that a new hour does not
/// begin as if nothing had happened.
///
/// # Errors
/// A fault where what is stored is no count.
pub(crate) fn rate(rows: &Rows, from: usize) -> Result<u32, Failure> {
    let counts = [count(rows, from)?, count(rows, from.saturating_add(1))?];
    Ok(counts.into_iter().max().unwrap_or(0))
}

/// Also counts that a registration began with work, in this hour, in which so many were counted before.
pub(crate) fn counted<R>(decision: Decision<R>, registered: u32, cx: &Context<AuthService>) -> Decision<R> {
    let hour = hour(cx.now);
    let write = Write::Put(record::ROW, record::encode(&registered.saturating_add(1)));
    // It is the hour before another one, and clocks may differ.
    let forgotten = Timestamp::from_secs(hour.saturating_add(3).saturating_mul(HOUR));
    decision.change(kinds::registered(hour, cx), vec![write], Alarm::At(forgotten))
}

/// A count that was read.
///
/// # Errors
/// A fault where what is stored is none.
pub(crate) fn count(rows: &Rows, place: usize) -> Result<u32, Failure> {
    Ok(rows.row(place, &record::ROW)?.map_or(Ok(0), |stored| record::decode(stored))?)
}
