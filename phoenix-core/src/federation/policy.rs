//! The operator's rules.

use std::collections::BTreeMap;

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{DomainPattern, Outbox, Standing};
use crate::{
    Fault, Fqdn,
    wire::{List, Wire},
};

/// With whom a homeserver deals: a mode, and rules for those that a pattern names. Of several rules the most specific
/// holds: that of the very domain, else that of the longest name that it is below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FederationPolicy {
    mode: Mode,
    rules: BTreeMap<DomainPattern, Standing>,
}

/// How a homeserver stands to those that no rule names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum Mode {
    /// They are allowed.
    #[default]
    Open = 1,
    /// They are blocked. What waits for them is held, so that a slip of the operator's costs no message.
    AllowList = 2,
}

/// A rule cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// There are as many as there may be.
    #[error("there are {MAX_RULES} rules already")]
    TooMany,
    /// It names this homeserver.
    #[error("no rule is needed for the homeserver itself")]
    Own,
}

impl FederationPolicy {
    /// How it stands to homeservers that no rule names.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The rules, in an order of their own.
    pub fn rules(&self) -> impl Iterator<Item = (&DomainPattern, Standing)> {
        self.rules.iter().map(|(pattern, standing)| (pattern, *standing))
    }

    /// The same in another mode.
    #[must_use]
    pub fn in_mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// The same with this rule, in place of one of the same pattern.
    ///
    /// # Errors
    /// [`PolicyError::TooMany`].
    pub fn with(mut self, pattern: DomainPattern, standing: Standing) -> Result<Self, PolicyError> {
        if self.rules.len() >= MAX_RULES && !self.rules.contains_key(&pattern) {
            return Err(PolicyError::TooMany);
        }
        self.rules.insert(pattern, standing);
        Ok(self)
    }

    /// The same without the rule of a pattern.
    #[must_use]
    pub fn without(mut self, pattern: &DomainPattern) -> Self {
        self.rules.remove(pattern);
        self
    }

    /// The rule that holds for a domain, if there is one.
    #[must_use]
    pub fn rule(&self, domain: &Fqdn) -> Option<(&DomainPattern, Standing)> {
        let mut patterns = DomainPattern::matched_by(domain);
        patterns.find_map(|pattern| self.rules.get_key_value(&pattern)).map(|(it, standing)| (it, *standing))
    }

    /// How it stands to the homeserver of a domain.
    #[must_use]
    pub fn standing(&self, domain: &Fqdn) -> Standing {
        match (self.rule(domain), self.mode) {
            (Some((_, standing)), _) => standing,
            (None, Mode::Open) => Standing::default(),
            (None, Mode::AllowList) => Standing::Blocked(Outbox::Hold),
        }
    }

    /// As it is stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let rule = |(pattern, standing): (&DomainPattern, &Standing)| (pattern.clone(), *standing);
        // No more than there may be.
        let rules = List::new(self.rules.iter().map(rule).collect()).unwrap_or_default();
        Record { mode: self.mode, rules }.encode().into()
    }

    /// As it was stored.
    ///
    /// # Errors
    /// [`Fault::Broken`] where it was not.
    pub fn decode(stored: &[u8]) -> Result<Self, Fault> {
        let record = Record::decode(stored).map_err(|_| Fault::Broken("the federation policy"))?;
        Ok(Self { mode: record.mode, rules: record.rules.into_vec().into_iter().collect() })
    }
}

#[derive(Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct Record {
    mode: Mode,
    rules: List<(DomainPattern, Standing), MAX_RULES>,
}

/// Rules at most: several times what published lists have; at their longest they fit into one value of the store, which
/// is read whole.
pub const MAX_RULES: usize = 4_096;
