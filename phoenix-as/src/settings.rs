//! What an operator may change.

use std::collections::BTreeMap;

use phoenix_core::{
    Fqdn,
    queue::QueuePolicy,
    time::{DAY, MINUTE},
    token::Class,
};

/// The settings of the AS. The defaults are those of the specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSettings {
    /// Tokens that one client gets in a window.
    pub allowances: Allowances,
    /// Tokens that all clients together, local and remote, get of a class (05, "Issuance"): in Standard tokens a
    /// day; of other classes, each in its own window, in proportion to what one client gets.
    pub ceiling: u64,
    /// Tokens that all clients of one remote domain get in a day.
    pub remote: RemoteAllowance,
    /// Remote domains whose allowance the operator has set, instead of what [`AuthSettings::remote`] makes of their
    /// use: in Standard tokens a day, other classes in proportion; 0 for none at all. Such a domain is no newcomer.
    pub domains: BTreeMap<Fqdn, u64>,
    /// How often a request is answered again in its window, for clients that lost the answer.
    pub repeats: u8,
    /// Longest validity of a client credential, in seconds (03).
    pub client_validity_s: u64,
    /// How long a registration can be finished, in seconds (04).
    pub registration_s: u64,
    /// How long an alias lasts, in seconds (04).
    pub alias_s: u64,
    /// Latest end of a connection package's lifetime, in seconds from its publication.
    pub package_lifetime_s: u64,
    /// How direct queues behave (04, 06).
    pub queue: QueuePolicy,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            allowances: Allowances::default(),
            ceiling: 10_000_000,
            remote: RemoteAllowance::default(),
            domains: BTreeMap::new(),
            repeats: 5,
            client_validity_s: 90 * DAY,
            registration_s: 10 * MINUTE,
            alias_s: 365 * DAY,
            package_lifetime_s: 366 * DAY,
            queue: QueuePolicy::DIRECT,
        }
    }
}

/// Tokens that one client gets (05, "Classes").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowances {
    /// Standard tokens a day.
    pub standard: u32,
    /// Home tokens a day.
    pub home: u32,
    /// Contact tokens a day.
    pub contact: u32,
    /// Alias tokens in 30 days.
    pub alias: u32,
}

impl Allowances {
    /// The allowance of a class, in its own window.
    #[must_use]
    pub const fn of(&self, class: Class) -> u32 {
        match class {
            Class::Standard => self.standard,
            Class::Home => self.home,
            Class::Contact => self.contact,
            Class::Alias => self.alias,
        }
    }
}

impl Default for Allowances {
    fn default() -> Self {
        Self { standard: 1_000, home: 100, contact: 50, alias: 5 }
    }
}

/// Tokens that all clients of one remote domain get together (05, "Issuance"): in Standard tokens a day; of other
/// classes in proportion to what one client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteAllowance {
    /// What a domain gets that was never seen before.
    pub floor: u64,
    /// What it gets after a day on which it used at least half, in hundredths of what it got on that day.
    pub growth_percent: u64,
    /// What no domain gets more than.
    pub ceiling: u64,
    /// What one client gets at least, whatever its domain's allowance; else it gets a tenth of that.
    pub client_floor: u64,
    /// What all domains known for less than 30 d get together, in hundredths of [`AuthSettings::ceiling`].
    pub newcomers_percent: u64,
}

impl Default for RemoteAllowance {
    fn default() -> Self {
        Self { floor: 1_000, growth_percent: 130, ceiling: 1_000_000, client_floor: 20, newcomers_percent: 5 }
    }
}
