//! With which homeservers this one deals, and how (08, "Policy").
//!
//! The operator's rules are one value, which does not change: a [`FederationPolicy`]. What the rest asks is a
//! [`Federation`], which also knows whose homeserver this is, so that no rule is ever held against its own users.

mod pattern;
mod policy;
mod standing;

pub use pattern::DomainPattern;
pub use policy::{FederationPolicy, MAX_RULES, Mode, PolicyError};
pub use standing::{Outbox, Standing, Terms};

use crate::{Fqdn, Reject};

/// A policy in force at the homeserver of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Federation {
    own: Fqdn,
    policy: FederationPolicy,
}

/// What an operator lets the clients of some homeservers have together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAllowance {
    /// The name under which they are counted.
    pub counted_as: Fqdn,
    /// Standard tokens a day; other classes in proportion.
    pub standard: u64,
}

impl Federation {
    /// A policy in force at the homeserver of `own`.
    #[must_use]
    pub const fn new(own: Fqdn, policy: FederationPolicy) -> Self {
        Self { own, policy }
    }

    /// The policy.
    #[must_use]
    pub const fn policy(&self) -> &FederationPolicy {
        &self.policy
    }

    /// Checks that a homeserver, or whoever it vouches for, may be dealt with now. Nothing else is told of the policy.
    ///
    /// # Errors
    /// [`Reject::Forbidden`] where it is blocked, or on no list of those that are allowed; [`Reject::Unavailable`] where
    /// it is paused, so that it keeps what it has and comes again.
    pub fn admit(&self, domain: &Fqdn) -> Result<(), Reject> {
        match self.standing(domain) {
            Standing::Allowed(_) => Ok(()),
            Standing::Paused => Err(Reject::Unavailable(PAUSE_S)),
            Standing::Blocked(_) => Err(Reject::Forbidden),
        }
    }

    /// Whether no queue there is to be in a group here.
    #[must_use]
    pub fn is_blocked(&self, domain: &Fqdn) -> bool {
        matches!(self.standing(domain), Standing::Blocked(_))
    }

    /// What becomes of what waits for a homeserver; `None` where it is sent.
    #[must_use]
    pub fn outbox(&self, domain: &Fqdn) -> Option<Outbox> {
        match self.standing(domain) {
            Standing::Allowed(_) => None,
            Standing::Paused => Some(Outbox::Hold),
            Standing::Blocked(outbox) => Some(outbox),
        }
    }

    /// What the operator has set for a homeserver that is allowed; the defaults for all others.
    #[must_use]
    pub fn terms(&self, domain: &Fqdn) -> Terms {
        match self.standing(domain) {
            Standing::Allowed(terms) => terms,
            Standing::Paused | Standing::Blocked(_) => Terms::default(),
        }
    }

    /// The tokens that the operator has set for a homeserver. What is set for all below a domain they share, since
    /// whoever has the domain makes as many names below it as it likes.
    #[must_use]
    pub fn token_allowance(&self, domain: &Fqdn) -> Option<TokenAllowance> {
        let (pattern, standing) = self.policy.rule(domain)?;
        let Standing::Allowed(Terms { tokens: Some(standard), .. }) = standing else { return None };
        Some(TokenAllowance { counted_as: pattern.domain().clone(), standard })
    }

    /// Under whose name it counts what a homeserver sends, where the operator has set how much that may be: all below a
    /// domain share what is set for them, too.
    #[must_use]
    pub fn counted_as(&self, domain: &Fqdn) -> DomainPattern {
        let rule = self.policy.rule(domain);
        rule.map_or_else(|| DomainPattern::Only(domain.clone()), |(pattern, _)| pattern.clone())
    }

    fn standing(&self, domain: &Fqdn) -> Standing {
        if *domain == self.own { Standing::default() } else { self.policy.standing(domain) }
    }
}

/// When who is paused is to come again, in seconds: as seldom as a homeserver that is not there is tried.
const PAUSE_S: u32 = 300;

#[cfg(test)]
mod tests;
