//! The operator's own judge of registrations, over HTTP (05, "Registration policy").

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use phoenix_core::{
    api::{Endpoint, auth::RegisterInit},
    port::{OpenPolicy, Policy, Question, TransportError, Verdict},
};
use reqwest::{Client, Url, redirect};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::{
    tls::{self, TlsError},
    transport::exchange::{Answer, answered},
};

/// A policy that shows what a registration brings to a service of the operator's, which checks a captcha or an
/// attestation.
///
/// It POSTs `{"address": "203.0.113.7", "proof": "…"}`, the proof in base64url without padding, the address as the
/// homeserver saw it or null, and wants 200 with `{"verdict": "allow"}`, `{"verdict": "forbid"}` or
/// `{"verdict": "later", "retry_after_s": 60}` (1 second to a day counts). Whatever else comes, or does not come in time, is `later`: without its
/// judge nobody gets in. It follows no redirect and uses no proxy.
///
/// All other questions are another policy's, and this one asks it first.
pub struct RegistrationHook {
    client: Client,
    url: Url,
    others: Arc<dyn Policy>,
    room: Semaphore,
}

/// Why a hook cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// The address is none, or not one of HTTP.
    #[error("the hook's address must be one of http or https")]
    Address,
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Why the judge gave no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum NoVerdict {
    #[error("as many registrations as may be are with it already")]
    Busy,
    #[error("the question could not be put")]
    Question,
    #[error("it does not answer, or not in time")]
    Silent,
    #[error("its certificate is not trusted, or its answer is too long")]
    Refused,
    #[error("it answered with the status {0}")]
    Status(u16),
    #[error("its answer is no verdict")]
    Answer,
}

impl From<TransportError> for NoVerdict {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Unreachable | TransportError::Busy => Self::Silent,
            TransportError::Refused => Self::Refused,
        }
    }
}

/// What the judge is told.
#[derive(Serialize)]
struct Case {
    address: Option<IpAddr>,
    proof: String,
}

/// What the judge says.
#[derive(Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
enum Judgement {
    Allow,
    Forbid,
    Later { retry_after_s: Option<u32> },
}

impl RegistrationHook {
    /// A hook at an address of http or https; there the web's authorities vouch for it.
    ///
    /// # Errors
    /// See [`HookError`].
    pub fn new(url: &str) -> Result<Self, HookError> {
        Self::build(url, None, ANSWER_TIME)
    }

    /// A hook at an address of https that these authorities (certificates in PEM) vouch for.
    ///
    /// # Errors
    /// See [`HookError`].
    pub fn with_authorities(url: &str, pem: &[u8]) -> Result<Self, HookError> {
        Self::build(url, Some(pem), ANSWER_TIME)
    }

    /// The policy that answers all other questions; without one everything else is allowed.
    #[must_use]
    pub fn over(mut self, others: impl Policy) -> Self {
        self.others = Arc::new(others);
        self
    }

    fn build(url: &str, authorities: Option<&[u8]>, time: Duration) -> Result<Self, HookError> {
        let url = Url::parse(url).map_err(|_| HookError::Address)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(HookError::Address);
        }
        let roots = authorities.map_or_else(|| Ok(tls::web_roots()), tls::own_roots)?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls::client(roots)?)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .timeout(time)
            .build()
            .map_err(|_| TlsError::Unusable("configuration"))?;
        Ok(Self { client, url, others: Arc::new(OpenPolicy), room: Semaphore::new(MAX_ASKED) })
    }

    async fn ask(&self, address: Option<IpAddr>, proof: &[u8]) -> Result<Verdict, NoVerdict> {
        let _room = self.room.try_acquire().map_err(|_| NoVerdict::Busy)?;
        let case = Case { address, proof: URL_SAFE_NO_PAD.encode(proof) };
        let body = serde_json::to_vec(&case).map_err(|_| NoVerdict::Question)?;
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body)
            .build()
            .map_err(|_| NoVerdict::Question)?;
        let Answer { status, media_type: _, body, retry_after_s: _, date: _ } =
            answered(&self.client, request, MAX_ANSWER).await.map_err(TransportError::from)?;
        if status != StatusCode::OK {
            return Err(NoVerdict::Status(status.as_u16()));
        }
        match serde_json::from_slice(&body).map_err(|_| NoVerdict::Answer)? {
            Judgement::Allow => Ok(Verdict::Allow),
            Judgement::Forbid => Ok(Verdict::Forbid),
            Judgement::Later { retry_after_s } => {
                Ok(Verdict::Later(retry_after_s.unwrap_or(RETRY_S).clamp(1, MAX_RETRY_S)))
            }
        }
    }
}

#[async_trait]
impl Policy for RegistrationHook {
    async fn judge(&self, question: &Question) -> Verdict {
        let shown = question.subject.as_ref().filter(|_| question.endpoint == RegisterInit::DESCRIPTION.id);
        let Some(proof) = shown else { return self.others.judge(question).await };
        let verdict = self.others.judge(&Question { subject: None, ..question.clone() }).await;
        if verdict != Verdict::Allow {
            return verdict;
        }
        self.ask(question.origin.address, proof).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the judge of registrations gave no verdict");
            Verdict::Later(RETRY_S)
        })
    }
}

impl fmt::Debug for RegistrationHook {
    /// Not the address, which may carry a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistrationHook(…)")
    }
}

/// How long a verdict may take: half of what a call has.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Longest verdict that is read.
const MAX_ANSWER: usize = 4 << 10;
/// Registrations that may be with the judge at once: those beyond come again later.
const MAX_ASKED: usize = 64;
/// When to come back where the judge does not say.
const RETRY_S: u32 = 30;
/// Longest wait that a judge may ask for: a day.
const MAX_RETRY_S: u32 = 86_400;

#[cfg(test)]
mod tests;
