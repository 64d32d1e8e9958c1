//! Why a request is not served.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE},
};
use phoenix_core::{
    ErrorReply,
    dpop::{DPOP_SCHEME, DpopError},
};

use crate::error::status;

/// Why a request is not served; as a response, in the words of RFC 6750 and RFC 9449.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DpopRefusal {
    status: StatusCode,
    error: Option<DpopError>,
    nonce: Option<String>,
    retry_after_s: Option<u32>,
}

impl DpopRefusal {
    pub(super) const BROKEN: Self = Self::plain(StatusCode::INTERNAL_SERVER_ERROR, None);
    pub(super) const BUSY: Self = Self::plain(StatusCode::SERVICE_UNAVAILABLE, Some(1));
    pub(super) const FORBIDDEN: Self = Self::plain(StatusCode::FORBIDDEN, None);
    pub(super) const UNREACHABLE: Self = Self::plain(StatusCode::SERVICE_UNAVAILABLE, Some(5));

    /// What is wrong with token or proof; none where the refusal has another reason.
    #[must_use]
    pub const fn error(&self) -> Option<DpopError> {
        self.error
    }

    pub(super) const fn unauthorized(error: DpopError, nonce: Option<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, error: Some(error), nonce, retry_after_s: None }
    }

    pub(super) const fn too_many(seconds: u32) -> Self {
        Self::plain(StatusCode::TOO_MANY_REQUESTS, Some(seconds))
    }

    const fn plain(status: StatusCode, retry_after_s: Option<u32>) -> Self {
        Self { status, error: None, nonce: None, retry_after_s }
    }
}

/// What the homeserver answers where it has not looked at token and proof yet, or cannot.
impl From<ErrorReply> for DpopRefusal {
    fn from(reply: ErrorReply) -> Self {
        Self::plain(status(reply.code), reply.retry_after_s)
    }
}

impl IntoResponse for DpopRefusal {
    fn into_response(self) -> Response {
        let Self { status, error, nonce, retry_after_s } = self;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(value) = error.and_then(|error| challenge(error).parse().ok()) {
            headers.insert(WWW_AUTHENTICATE, value);
        }
        if let Some(value) = nonce.and_then(|nonce| nonce.parse().ok()) {
            headers.insert(NONCE, value);
        }
        if let Some(seconds) = retry_after_s {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// RFC 9449 §7.1. No description holds a quotation mark: all are ours.
fn challenge(error: DpopError) -> String {
    let code = error.code().map(|code| format!(", error=\"{code}\", error_description=\"{error}\""));
    format!("{DPOP_SCHEME} algs=\"ES256\"{}", code.unwrap_or_default())
}

const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
