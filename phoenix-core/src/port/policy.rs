//! The port to limits and verdicts.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Fqdn, Origin, api::EndpointId};

/// Decides whether an authenticated call may go on.
#[async_trait]
pub trait Policy: Send + Sync + 'static {
    /// Answers before anything is decided; the caller is known and has paid nothing yet.
    async fn judge(&self, question: &Question) -> Verdict;
}

/// What a policy is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// What is called.
    pub endpoint: EndpointId,
    /// Where the call came from.
    pub origin: Origin,
    /// The other homeserver that the caller belongs to, where the call names one.
    pub peer: Option<Fqdn>,
    /// What else is to be judged, where the call brings it and hinges on the verdict: a proof of registration, say.
    pub subject: Option<Bytes>,
}

/// What a policy answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Allow,
    /// Not for this caller.
    Forbid,
    /// Not now; again in so many seconds.
    Later(u32),
}

/// Allows everything that can be judged by where it comes from: any domain may federate, anyone may register. What
/// else it is shown it cannot judge, and so forbids.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenPolicy;

#[async_trait]
impl Policy for OpenPolicy {
    async fn judge(&self, question: &Question) -> Verdict {
        if question.subject.is_none() { Verdict::Allow } else { Verdict::Forbid }
    }
}
