//! Errors on HTTP: problem documents (RFC 9457) with the protocol's reply inside (02, "HTTP binding").

use axum::{body::Body, response::Response};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::URL_SAFE_NO_PAD},
};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use phoenix_core::{ErrorCode, ErrorReply, Origin, wire::Wire};
use serde::{Deserialize, Serialize};

use crate::{PROBLEM_TYPE, home::Challenge, token};

/// The response that carries an error; with the challenges where a token is what is missing.
pub(crate) fn problem(reply: &ErrorReply, challenges: &[Challenge]) -> Response {
    problem_with(reply, None, challenges)
}

/// The same, with the number by which the request is found in the log, where it has one.
pub(crate) fn problem_of(origin: &Origin, reply: &ErrorReply, challenges: &[Challenge]) -> Response {
    let instance = origin.request_id().map(|id| format!("{REQUEST_PREFIX}{id}"));
    respond(reply, status(reply.code), instance, challenges)
}

/// The same with a status of another protocol.
pub(crate) fn problem_with(
    reply: &ErrorReply,
    foreign: Option<StatusCode>,
    challenges: &[Challenge],
) -> Response {
    respond(reply, foreign.unwrap_or(status(reply.code)), None, challenges)
}

fn respond(
    reply: &ErrorReply,
    status: StatusCode,
    instance: Option<String>,
    challenges: &[Challenge],
) -> Response {
    let (name, _) = kind(reply.code);
    let document = Problem {
        kind: format!("{TYPE_PREFIX}{name}"),
        title: name.replace('_', " "),
        status: status.as_u16(),
        instance,
        reply: URL_SAFE_NO_PAD.encode(reply.encode()),
    };
    let mut response = Response::new(Body::from(serde_json::to_vec(&document).unwrap_or_default()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = reply.retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if wants_token(reply.code)
        && let Some(value) = token::authenticate(challenges)
    {
        headers.insert(WWW_AUTHENTICATE, value);
    }
    response
}

/// The error in a problem document, if it is one of ours.
pub(crate) fn reply_in(document: &[u8]) -> Option<ErrorReply> {
    let problem: Problem = serde_json::from_slice(document).ok()?;
    ErrorReply::decode(&LENIENT.decode(problem.reply).ok()?).ok()
}

/// Whether a token is what would help.
pub(crate) const fn wants_token(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::TokenRequired | ErrorCode::TokenInvalid | ErrorCode::TokenSpent)
}

/// An error's status.
pub(crate) const fn status(code: ErrorCode) -> StatusCode {
    kind(code).1
}

/// Each error's name and status: the table of 02, and the only place that knows it.
const fn kind(code: ErrorCode) -> (&'static str, StatusCode) {
    match code {
        ErrorCode::Malformed => ("malformed", StatusCode::BAD_REQUEST),
        ErrorCode::UnsupportedVersion => ("unsupported_version", StatusCode::BAD_REQUEST),
        ErrorCode::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED),
        ErrorCode::TokenRequired => ("token_required", StatusCode::UNAUTHORIZED),
        ErrorCode::TokenInvalid => ("token_invalid", StatusCode::UNAUTHORIZED),
        ErrorCode::TokenSpent => ("token_spent", StatusCode::UNAUTHORIZED),
        ErrorCode::Forbidden => ("forbidden", StatusCode::FORBIDDEN),
        ErrorCode::NotFound => ("not_found", StatusCode::NOT_FOUND),
        ErrorCode::Conflict => ("conflict", StatusCode::CONFLICT),
        ErrorCode::PendingProposals => ("pending_proposals", StatusCode::CONFLICT),
        ErrorCode::DuplicateKey => ("duplicate_key", StatusCode::CONFLICT),
        ErrorCode::AlreadyExists => ("already_exists", StatusCode::CONFLICT),
        ErrorCode::TooLarge => ("too_large", StatusCode::PAYLOAD_TOO_LARGE),
        ErrorCode::RateLimited => ("rate_limited", StatusCode::TOO_MANY_REQUESTS),
        ErrorCode::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
        ErrorCode::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// The document (RFC 9457 §3), with our member `reply`.
#[derive(Serialize, Deserialize)]
struct Problem {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    reply: String,
}

const TYPE_PREFIX: &str = "urn:phoenix:error:";
/// Begins what names a request (RFC 9457 §3.1.5).
const REQUEST_PREFIX: &str = "urn:phoenix:request:";
/// Reads base64url with padding or without: the specification leaves it open.
pub(crate) const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use bytes::Bytes;
    use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
    use phoenix_core::{
        ErrorCode, ErrorReply, Origin,
        wire::{Opaque, Wire},
    };

    use super::{problem, problem_of, reply_in};
    use crate::home::Challenge;

    #[test]
    fn every_error_has_the_status_of_the_specification() {
        let table: [(u16, &str, u16); 16] = [
            (1, "malformed", 400),
            (2, "unsupported_version", 400),
            (3, "unauthenticated", 401),
            (4, "token_required", 401),
            (5, "token_invalid", 401),
            (6, "token_spent", 401),
            (7, "forbidden", 403),
            (8, "not_found", 404),
            (9, "conflict", 409),
            (10, "pending_proposals", 409),
            (11, "duplicate_key", 409),
            (12, "already_exists", 409),
            (13, "too_large", 413),
            (14, "rate_limited", 429),
            (15, "internal", 500),
            (16, "unavailable", 503),
        ];
        for (code, name, status) in table {
            let code = ErrorCode::decode(&code.to_be_bytes()).unwrap();
            let (document, found) = document(&reply(code, None));

            assert_eq!((found, document["status"].as_u64()), (status, Some(status.into())), "{name}");
            assert_eq!(document["type"], format!("urn:phoenix:error:{name}"));
        }
    }

    #[test]
    fn the_whole_reply_comes_out_of_the_document_again() {
        let reply = reply(ErrorCode::Unavailable, Some(7));
        let response = problem(&reply, &[]);

        assert_eq!(response.headers()[RETRY_AFTER], "7");
        let body = futures::executor::block_on(axum::body::to_bytes(response.into_body(), 1 << 16)).unwrap();
        assert_eq!(reply_in(&body), Some(reply));
        assert_eq!(reply_in(b"{\"type\": \"about:blank\"}"), None);
    }

    #[test]
    fn a_refusal_names_its_request_by_the_number_of_the_log() {
        let reply = reply(ErrorCode::Internal, None);
        let origin = Origin { request: 0xabc, address: None };

        let named = problem_of(&origin, &reply, &[]);
        let unnamed = problem_of(&Origin::default(), &reply, &[]);

        let [named, unnamed] = [named, unnamed].map(|response| {
            let body = axum::body::to_bytes(response.into_body(), 1 << 16);
            futures::executor::block_on(body).unwrap()
        });
        let instance =
            |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap()["instance"].clone();
        assert_eq!(instance(&named), "urn:phoenix:request:0000000000000abc");
        assert_eq!(instance(&unnamed), serde_json::Value::Null);
        assert_eq!(reply_in(&named), Some(reply));
    }

    #[test]
    fn challenges_are_shown_only_where_a_token_would_help() {
        let challenge = |challenge, key| Challenge {
            challenge: Bytes::from_static(challenge),
            token_key: Bytes::from_static(key),
        };
        let challenges = [challenge(b"c", b"kk"), challenge(b"d", b"k")];

        for code in [ErrorCode::TokenRequired, ErrorCode::TokenInvalid, ErrorCode::TokenSpent] {
            let response = problem(&reply(code, None), &challenges);
            let header = &response.headers()[WWW_AUTHENTICATE];
            assert_eq!(
                header,
                "PrivateToken challenge=\"Yw==\", token-key=\"a2s=\", \
                 PrivateToken challenge=\"ZA==\", token-key=\"aw==\""
            );
            assert!(!problem(&reply(code, None), &[]).headers().contains_key(WWW_AUTHENTICATE));
        }
        let response = problem(&reply(ErrorCode::Unauthenticated, None), &challenges);
        assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
    }

    fn reply(code: ErrorCode, retry_after_s: Option<u32>) -> ErrorReply {
        ErrorReply { code, retry_after_s, detail: Opaque::truncated(Bytes::from_static(b"detail")) }
    }

    fn document(reply: &ErrorReply) -> (serde_json::Value, u16) {
        let response = problem(reply, &[]);
        let status = response.status().as_u16();
        let body = futures::executor::block_on(axum::body::to_bytes(response.into_body(), 1 << 16)).unwrap();
        (serde_json::from_slice(&body).unwrap(), status)
    }
}
