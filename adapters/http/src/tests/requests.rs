//! The router alone, with requests that no transport of ours would send.

use axum::{
    body::{Body, to_bytes},
    response::Response,
};
use bytes::Bytes;
use http::{
    Request, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE},
};
use phoenix_core::{ErrorCode, ErrorReply, wire::Wire};
use tower::ServiceExt;

use super::{Echo, call, token};
use crate::{MEDIA_TYPE, PROBLEM_TYPE, RouterOptions, error::reply_in, router::routes};

#[tokio::test]
async fn a_malformed_authorization_is_refused() {
    for value in ["PrivateToken token=\"AAAA\"", "Bearer x", "PrivateToken token=x"] {
        let request =
            post("ds/paid").header(AUTHORIZATION, value).body(call("paid", "").encode().into()).unwrap();

        let (reply, _) = refused(request).await;

        assert_eq!((reply.code, reply.detail.as_slice()), (ErrorCode::Malformed, &b"authorization"[..]));
    }
}

#[tokio::test]
async fn a_missing_token_is_answered_with_a_challenge() {
    let request = post("ds/paid").body(call("paid", "").encode().into()).unwrap();

    let (reply, response) = refused(request).await;

    assert_eq!((reply.code, response.status()), (ErrorCode::TokenRequired, StatusCode::UNAUTHORIZED));
    let challenge = "PrivateToken challenge=\"Y2hhbGxlbmdl\", token-key=\"a2V5\"";
    assert_eq!(response.headers()[WWW_AUTHENTICATE], challenge);
}

#[tokio::test]
async fn a_call_must_be_exactly_one_call_for_its_endpoint() {
    let mut with_token = call("echo", "");
    with_token.token = Some(token());
    let mut trailing = call("echo", "").encode().to_vec();
    trailing.push(0);
    let bodies: [(Bytes, &[u8]); 5] = [
        (Bytes::new(), b"call"),
        (Bytes::from_static(&[0]), b"call"),
        (trailing.into(), b"call"),
        (call("slow", "").encode(), b"endpoint"),
        (with_token.encode(), b"token"),
    ];
    for (body, field) in bodies {
        let (reply, _) = refused(post("ds/echo").body(body.into()).unwrap()).await;

        assert_eq!((reply.code, reply.detail.as_slice()), (ErrorCode::Malformed, field));
    }
}

#[tokio::test]
async fn a_call_of_another_version_learns_ours_even_if_it_cannot_be_read() {
    let (reply, _) = refused(post("ds/echo").body(Bytes::from_static(b"\0\x02new").into()).unwrap()).await;

    assert_eq!((reply.code, reply.detail.as_slice()), (ErrorCode::UnsupportedVersion, &[0, 1][..]));
}

#[tokio::test]
async fn the_media_type_is_required() {
    for media_type in [None, Some("application/json"), Some("application/vnd.phoenix.v2")] {
        let mut request = Request::post("/v1/ds/echo").body(call("echo", "").encode().into()).unwrap();
        if let Some(value) = media_type {
            request.headers_mut().insert(CONTENT_TYPE, value.parse().unwrap());
        }

        assert_eq!(refused(request).await.0.code, ErrorCode::Malformed);
    }
}

#[tokio::test]
async fn unknown_and_inner_endpoints_are_not_found() {
    for path in ["ds/nothing", "qs/echo", "xs/echo", "ds/inner"] {
        let (reply, _) = refused(post(path).body(Body::empty()).unwrap()).await;

        assert_eq!(reply.code, ErrorCode::NotFound, "{path}");
    }
}

#[tokio::test]
async fn t20_a_body_over_the_limit_is_refused_announced_or_not() {
    let long = call("echo", vec![0; (256 << 10) + 1]).encode();
    let endless =
        Body::from_stream(futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![0_u8; 1 << 12])));
    let announced = post("ds/echo").header(CONTENT_LENGTH, "99999999").body(Body::empty()).unwrap();

    for request in
        [announced, post("ds/echo").body(endless).unwrap(), post("ds/echo").body(long.into()).unwrap()]
    {
        let (reply, response) = refused(request).await;

        assert_eq!((reply.code, response.status()), (ErrorCode::TooLarge, StatusCode::PAYLOAD_TOO_LARGE));
    }
}

#[tokio::test]
async fn discovery_names_the_configured_hosts() {
    let options =
        RouterOptions { qs_host: Some("qs.alpha.test:8443".into()), max_age_s: 77, ..Default::default() };
    let pushing = RouterOptions { push_key: Some("BKey".into()), ..options.clone() };
    let request = || Request::get("/.well-known/phoenix").body(Body::empty()).unwrap();

    let response = routes(Echo::new(), options).oneshot(request()).await.unwrap();

    assert_eq!(response.headers()[CACHE_CONTROL], "max-age=77");
    let document: serde_json::Value = serde_json::from_slice(&bytes(response).await).unwrap();
    let mut expected = serde_json::json!({
        "domain": "alpha.test", "versions": [1], "as": "alpha.test", "ds": "alpha.test",
        "qs": "qs.alpha.test:8443", "max_age_s": 77,
    });
    assert_eq!(document, expected);

    // One that pushes also tells the key that clients subscribe with.
    let response = routes(Echo::new(), pushing).oneshot(request()).await.unwrap();
    let document: serde_json::Value = serde_json::from_slice(&bytes(response).await).unwrap();
    expected["push_key"] = "BKey".into();
    assert_eq!(document, expected);
}

fn post(path: &str) -> http::request::Builder {
    Request::post(format!("/v1/{path}")).header(CONTENT_TYPE, MEDIA_TYPE)
}

/// The error that a request is answered with, and the answer's head.
async fn refused(request: Request<Body>) -> (ErrorReply, Response) {
    let response = routes(Echo::new(), RouterOptions::default()).oneshot(request).await.unwrap();
    assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_TYPE);
    let (parts, body) = response.into_parts();
    let document = bytes(Response::new(body)).await;
    (reply_in(&document).unwrap(), Response::from_parts(parts, Body::empty()))
}

async fn bytes(response: Response) -> Bytes {
    to_bytes(response.into_body(), 1 << 20).await.unwrap()
}
