//! What Privacy Pass clients of any make need: the issuer's directory, and requests for tokens (RFC 9578).

use axum::response::Response;
use base64::{Engine, engine::general_purpose::URL_SAFE};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use phoenix_core::{
    ErrorCode, ErrorReply, Reject,
    api::Description,
    time::HOUR,
    token::{Class, KeyListEntry, TokenType},
    wire::{AuthFrame, Call, Opaque, VERSION, Wire},
};
use serde::Serialize;

use crate::error::{LENIENT, problem_with};

/// Where the directory is (RFC 9578 §4).
pub(crate) const DIRECTORY: &str = "/.well-known/private-token-issuer-directory";
/// Where tokens are asked for.
pub(crate) const REQUEST: &str = "/token-request";
/// The media type of the directory,
pub(crate) const DIRECTORY_TYPE: &str = "application/private-token-issuer-directory";
/// of a request,
pub(crate) const REQUEST_TYPE: &str = "application/private-token-request";
/// and of its answer.
pub(crate) const RESPONSE_TYPE: &str = "application/private-token-response";
/// How long the directory may be kept, in seconds: a key is in it for a day before it issues (05).
pub(crate) const DIRECTORY_AGE_S: u64 = 12 * HOUR;

/// The directory: the keys of type 0x0001, Standard first. `host` is that of the AS, where it is not the directory's.
///
/// Keys of type 0x0005 are not in it: they issue in batches, by `issue_tokens`.
pub(crate) fn directory(host: Option<&str>, mut keys: Vec<KeyListEntry>) -> Vec<u8> {
    keys.retain(|key| key.token_type == TokenType::P384.number());
    keys.sort_by_key(|key| (key.class, key.not_before));
    let directory = Directory {
        issuer_request_uri: host.map_or(REQUEST.into(), |host| format!("https://{host}{REQUEST}")),
        token_keys: keys.iter().map(Key::from).collect(),
    };
    serde_json::to_vec(&directory).unwrap_or_default()
}

/// The call of a request for a token: the body is what the frame's signature covers, as it was sent.
///
/// # Errors
/// [`Reject::Malformed`] where `Phoenix-Auth` is there, but is not one frame.
pub(crate) fn call(endpoint: &Description, headers: &HeaderMap, body: Bytes) -> Result<Call, Reject> {
    let body = Opaque::new(body)?;
    Ok(Call { version: VERSION, endpoint: endpoint.id, auth: frame(headers)?, token: None, body })
}

/// The answer to a request for a token that is refused: where the request itself, or the key that it names, is what
/// is wrong, with the status of RFC 9578 §5.2.
pub(crate) fn refusal(reply: &ErrorReply) -> Response {
    let status = match reply.code {
        ErrorCode::Malformed | ErrorCode::TooLarge | ErrorCode::TokenInvalid => {
            Some(StatusCode::UNPROCESSABLE_ENTITY)
        }
        _ => None,
    };
    problem_with(reply, status, &[])
}

fn frame(headers: &HeaderMap) -> Result<Option<AuthFrame>, Reject> {
    let mut values = headers.get_all(AUTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(MALFORMED);
    }
    let frame = LENIENT.decode(value.as_bytes()).map_err(|_| MALFORMED)?;
    AuthFrame::decode(&frame).map(Some).map_err(|_| MALFORMED)
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Directory {
    issuer_request_uri: String,
    token_keys: Vec<Key>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Key {
    token_type: u16,
    /// Base64url with padding.
    token_key: String,
    not_before: u64,
    /// What its tokens are good for; not a member of the RFC, whose clients take the first key.
    class: &'static str,
}

impl From<&KeyListEntry> for Key {
    fn from(key: &KeyListEntry) -> Self {
        let class = match key.class {
            Class::Standard => "standard",
            Class::Home => "home",
            Class::Contact => "contact",
            Class::Alias => "alias",
        };
        Self {
            token_type: key.token_type,
            token_key: URL_SAFE.encode(&*key.public_key),
            not_before: key.not_before,
            class,
        }
    }
}

/// Carries the frame of a request, in base64url (05).
const AUTH: &str = "phoenix-auth";
const MALFORMED: Reject = Reject::Malformed("phoenix-auth");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use phoenix_core::{
        token::{Class, KeyListEntry},
        wire::Opaque,
    };
    use serde_json::json;

    use super::directory;

    #[test]
    fn the_directory_lists_keys_of_type_1_by_class_and_then_by_time() {
        let entry = |class, token_type, key: u8, not_before| KeyListEntry {
            class,
            token_type,
            public_key: Opaque::new(vec![key; 49]).unwrap(),
            not_before,
            not_after: not_before + 10,
            redeem_until: not_before + 20,
        };
        let keys = vec![
            entry(Class::Home, 1, 1, 5),
            entry(Class::Standard, 1, 2, 16),
            entry(Class::Standard, 5, 3, 5),
            entry(Class::Standard, 1, 4, 5),
        ];

        let read = |host| serde_json::from_slice(&directory(host, keys.clone())).unwrap();
        let (own, other): (serde_json::Value, serde_json::Value) =
            (read(None), read(Some("as.alpha.test:8443")));

        let listed = own["token-keys"].as_array().unwrap().iter();
        let listed: Vec<_> = listed.map(|key| (key["class"].clone(), key["not-before"].clone())).collect();
        assert_eq!(
            listed,
            [("standard", 5), ("standard", 16), ("home", 5)].map(|(class, at)| (json!(class), json!(at)))
        );
        let first = own["token-keys"][0]["token-key"].as_str().unwrap();
        assert!(first.starts_with("BAQE") && first.len() == 68 && first.ends_with("=="), "{first}");
        assert_eq!(own["issuer-request-uri"], "/token-request");
        assert_eq!(other["issuer-request-uri"], "https://as.alpha.test:8443/token-request");
        assert_eq!(other["token-keys"], own["token-keys"]);
    }
}
