//! What a check found, for people and for programs.

use std::fmt;

use serde::Serialize;

/// What came of each step, in the order in which one builds on the other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReport {
    /// The domain that was examined.
    pub domain: String,
    /// Whether nothing failed.
    pub ok: bool,
    /// The steps.
    pub steps: Vec<CheckStep>,
}

/// One step. Texts are printable ASCII, whatever the other side said.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckStep {
    /// Which it is.
    pub step: StepName,
    /// The host that it was about, as name and port, where it was about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What came of it.
    pub outcome: CheckOutcome,
    /// What was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tried: Option<String>,
    /// What came back, or why it was not tried.
    pub found: String,
    /// What to do about it, where it did not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// The steps, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepName {
    /// The domain's name leads to addresses that answer.
    Addresses,
    /// The certificate there is one for the domain.
    Tls,
    /// The domain tells where its services are, or that they are below it.
    WellKnown,
    /// It speaks a version of the protocol that this one speaks.
    Versions,
    /// A service's host leads to addresses that answer; only where it is not the domain's own.
    ServiceAddresses,
    /// The certificate there is one for that host.
    ServiceTls,
    /// The AS publishes a document of its keys.
    AsKeys,
    /// So does the QS, and its keys are in force.
    QsKeys,
    /// So does the DS.
    DsKeys,
    /// What the AS publishes is signed from its roots on, and in force.
    Chain,
    /// Its clocks show the time that this machine's does.
    Clock,
    /// Its QS takes an empty transaction.
    Transaction,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckOutcome {
    /// It is as it must be.
    Passed,
    /// It is not.
    Failed,
    /// An earlier step that failed makes it impossible.
    NotTried,
    /// It could not be examined, for want of something on this side, or of something that others need not tell.
    LeftOut,
}

impl CheckReport {
    /// The first step that failed.
    #[must_use]
    pub fn failure(&self) -> Option<&CheckStep> {
        self.steps.iter().find(|step| step.outcome == CheckOutcome::Failed)
    }
}

impl StepName {
    /// How it is called, the same in lines and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Addresses => "addresses",
            Self::Tls => "tls",
            Self::WellKnown => "well-known",
            Self::Versions => "versions",
            Self::ServiceAddresses => "service-addresses",
            Self::ServiceTls => "service-tls",
            Self::AsKeys => "as-keys",
            Self::QsKeys => "qs-keys",
            Self::DsKeys => "ds-keys",
            Self::Chain => "chain",
            Self::Clock => "clock",
            Self::Transaction => "transaction",
        }
    }
}

impl CheckOutcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::NotTried => "not tried",
            Self::LeftOut => "left out",
        }
    }
}

/// A line for each step; below one that did not pass, what was tried and what to do.
impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        match self.failure() {
            None => write!(f, "{}: nothing is wrong", self.domain),
            Some(step) => write!(f, "{}: {} failed; begin there", self.domain, step.step.as_str()),
        }
    }
}

impl fmt::Display for CheckStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, host, outcome, tried, found, remedy, took_ms } = self;
        write!(f, "{:<9}  {:<17}  ", outcome.as_str(), step.as_str())?;
        if let Some(host) = host {
            write!(f, "{host}: ")?;
        }
        write!(f, "{found}")?;
        if tried.is_some() {
            write!(f, " ({took_ms} ms)")?;
        }
        if let (CheckOutcome::Failed, Some(tried)) = (outcome, tried) {
            write!(f, "\n{:11}tried: {tried}", "")?;
        }
        if let Some(remedy) = remedy {
            write!(f, "\n{:11}to do: {remedy}", "")?;
        }
        Ok(())
    }
}

/// Text of a stranger, as it may be shown on a terminal: printable ASCII, the rest escaped, and not too much of it.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::new();
    for (number, letter) in text.chars().enumerate() {
        if number >= MAX_SHOWN {
            shown.push_str("...");
            break;
        }
        match letter {
            ' '..='~' => shown.push(letter),
            _ => shown.extend(letter.escape_unicode()),
        }
    }
    shown
}

/// Characters of a stranger's text that are shown.
const MAX_SHOWN: usize = 120;

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn a_strangers_text_moves_no_cursor_and_fills_no_screen() {
        assert_eq!(printable("a.test \u{1b}[2J\r\u{202e}"), "a.test \\u{1b}[2J\\u{d}\\u{202e}");
        assert_eq!(printable(&"x".repeat(1_000)).len(), 123);
    }
}
