//! What waits for a homeserver, as it is written.

use std::fmt::Write as _;

use anyhow::Context as _;
use phoenix_core::Timestamp;
use phoenix_homeserver::PeerSurvey;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// What waits for a homeserver. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Waiting {
    domain: String,
    waiting: u32,
    set_aside: u32,
    given_up: u32,
    more: bool,
    attempts: u32,
    held: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    waits_since: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failing_since: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left_alone_until: Option<u64>,
}

impl Waiting {
    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    /// In words, for a person.
    fn said(&self) -> anyhow::Result<String> {
        let at_least = if self.more { "at least " } else { "" };
        let mut said = format!("{}: {at_least}{} waiting", self.domain, self.waiting);
        if let Some(since) = self.waits_since {
            write!(said, " since {}", moment(since)?)?;
        }
        if self.held {
            write!(said, ", held by the policy")?;
        }
        if let Some(since) = self.failing_since {
            write!(said, ", {} attempts failed since {}", self.attempts, moment(since)?)?;
        }
        if let Some(failure) = &self.failure {
            write!(said, ": {failure}")?;
        }
        if let Some(until) = self.left_alone_until {
            write!(said, ", left alone until {}", moment(until)?)?;
        }
        if self.set_aside > 0 {
            write!(said, ", {} set aside", self.set_aside)?;
        }
        if self.given_up > 0 {
            write!(said, ", {} given up", self.given_up)?;
        }
        Ok(said)
    }
}

impl From<&PeerSurvey> for Waiting {
    fn from(survey: &PeerSurvey) -> Self {
        let PeerSurvey {
            domain,
            waiting,
            set_aside,
            given_up,
            more,
            waits_since,
            attempts,
            failing_since,
            failure,
            left_alone_until,
            is_held,
        } = survey;
        let seconds = |at: &Option<Timestamp>| at.map(Timestamp::as_secs);
        Self {
            domain: domain.to_string(),
            waiting: *waiting,
            set_aside: *set_aside,
            given_up: *given_up,
            more: *more,
            attempts: *attempts,
            held: *is_held,
            waits_since: seconds(waits_since),
            failing_since: seconds(failing_since),
            failure: failure.map(|it| it.to_string()),
            left_alone_until: seconds(left_alone_until),
        }
    }
}

/// A line for each, for a person.
pub(crate) fn said(all: &[Waiting]) -> anyhow::Result<String> {
    if all.is_empty() {
        return Ok("nothing is waiting".to_owned());
    }
    Ok(all.iter().map(Waiting::said).collect::<anyhow::Result<Vec<_>>>()?.join("\n"))
}

/// A time (UTC), to the minute.
fn moment(seconds: u64) -> anyhow::Result<String> {
    let time = OffsetDateTime::from_unix_timestamp(i64::try_from(seconds)?).context("a time out of reach")?;
    Ok(format!("{} {:02}:{:02}", time.date(), time.hour(), time.minute()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use phoenix_core::Timestamp;
    use phoenix_homeserver::{GreetError, PeerSurvey};

    use super::{Waiting, said};

    fn calm() -> PeerSurvey {
        PeerSurvey {
            domain: "beta.test".parse().unwrap(),
            waiting: 0,
            set_aside: 0,
            given_up: 0,
            more: false,
            waits_since: None,
            attempts: 0,
            failing_since: None,
            failure: None,
            left_alone_until: None,
            is_held: false,
        }
    }

    #[test]
    fn what_waits_is_said_a_line_a_homeserver_with_what_is_known_of_it() {
        let down = PeerSurvey {
            waiting: 1_000,
            set_aside: 2,
            given_up: 3,
            more: true,
            waits_since: Some(Timestamp::from_secs(0)),
            attempts: 7,
            failing_since: Some(Timestamp::from_secs(3_600)),
            failure: Some(GreetError::Unreachable),
            left_alone_until: Some(Timestamp::from_secs(7_200)),
            ..calm()
        };
        let held = PeerSurvey { waiting: 1, is_held: true, ..calm() };

        let all = [down, held, calm()].map(|it| Waiting::from(&it));

        let lines = "beta.test: at least 1000 waiting since 1970-01-01 00:00, 7 attempts failed since \
                     1970-01-01 01:00: it gave no answer, left alone until 1970-01-01 02:00, 2 set aside, 3 given up\n\
                     beta.test: 1 waiting, held by the policy\nbeta.test: 0 waiting";
        assert_eq!(said(&all).unwrap(), lines);
        assert_eq!(said(&[]).unwrap(), "nothing is waiting");
        for one in all {
            let json = serde_json::to_string(&one).unwrap();
            assert_eq!(serde_json::from_str::<Waiting>(&json).unwrap(), one, "{json}");
        }
    }
}
