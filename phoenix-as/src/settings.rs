//! What an operator may change.

use phoenix_core::{
    queue::QueuePolicy,
    time::{DAY, MINUTE},
    token::Class,
};

use crate::{PublicSuffixes, RegistrationSettings};

/// The settings of the AS. The defaults are those of the specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSettings {
    /// Tokens that one client gets in a window.
    pub allowances: Allowances,
    /// Tokens that all clients together, local and remote, get of a class (05, "Issuance"): in Standard tokens a
    /// day; of other classes, each in its own window, in proportion to what one client gets.
    pub ceiling: u64,
    /// Tokens that all clients of one remote domain get in a day, where the federation policy sets nothing for it.
    pub remote: RemoteAllowance,
    /// Where given, all remote domains below one registrable domain are counted as one, but for those whose allowance a
    /// rule of the federation policy sets ([`Terms::tokens`](phoenix_core::federation::Terms::tokens)): such a domain is
    /// no newcomer, and those below it share what is set for it.
    pub suffixes: Option<PublicSuffixes>,
    /// How often a request is answered again in its window, for clients that lost the answer.
    pub repeats: u8,
    /// Longest validity of a client credential, in seconds (03).
    pub client_validity_s: u64,
    /// How long a registration, a login or a change of password can be finished, in seconds (04).
    pub registration_s: u64,
    /// Guesses at passwords.
    pub logins: LoginLimits,
    /// Clients that a user may add in 30 days, be they removed again: each may end up on the revocation list.
    pub additions: u16,
    /// How long an alias lasts, in seconds (04).
    pub alias_s: u64,
    /// Latest end of a connection package's lifetime, in seconds from its publication.
    pub package_lifetime_s: u64,
    /// Whether clients may have other ASs asked through this one (08, `lookup`), which it then sees: whom they look up.
    pub lookups: bool,
    /// How direct queues behave (04, 06).
    pub queue: QueuePolicy,
    /// What a registration must bring (05, "Registration policy").
    pub registration: RegistrationSettings,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            allowances: Allowances::default(),
            ceiling: 10_000_000,
            remote: RemoteAllowance::default(),
            suffixes: None,
            repeats: 5,
            client_validity_s: 90 * DAY,
            registration_s: 10 * MINUTE,
            logins: LoginLimits::default(),
            additions: 20,
            alias_s: 365 * DAY,
            package_lifetime_s: 366 * DAY,
            lookups: false,
            queue: QueuePolicy::DIRECT,
            registration: RegistrationSettings::default(),
        }
    }
}

/// Logins begun and not completed, each of which may test one password (04). At most 512 are remembered of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginLimits {
    /// Of a user, from one network, in an hour; beyond that they take work.
    pub per_source: u16,
    /// Of a user, in an hour; beyond that they take work.
    pub per_user: u16,
    /// Begun by one of the user's own clients, in an hour; beyond that they are refused.
    pub per_client: u16,
    /// How much work: bits of a challenge. The default is about half a second of one core.
    pub work_bits: u8,
}

impl Default for LoginLimits {
    fn default() -> Self {
        Self { per_source: 10, per_user: 100, per_client: 10, work_bits: 20 }
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
