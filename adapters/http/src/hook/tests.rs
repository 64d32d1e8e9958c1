#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    response::{IntoResponse, Redirect},
    routing::post,
};
use bytes::Bytes;
use http::StatusCode;
use phoenix_core::{
    Origin,
    api::{
        Endpoint, EndpointId,
        auth::{RegisterInit, RegistrationChallenge},
    },
    port::{Policy, Question, Verdict},
};
use tokio::net::TcpListener;

use super::{HookError, MAX_ANSWER, RETRY_S, RegistrationHook};

#[tokio::test]
async fn the_judge_sees_address_and_proof_and_its_verdict_counts() {
    let verdicts = [
        (r#"{"verdict": "allow"}"#, Verdict::Allow),
        (r#"{"verdict": "forbid"}"#, Verdict::Forbid),
        (r#"{"verdict": "later", "retry_after_s": 7}"#, Verdict::Later(7)),
        (r#"{"verdict": "later", "retry_after_s": 0}"#, Verdict::Later(1)),
        (r#"{"verdict": "later", "retry_after_s": 4294967295}"#, Verdict::Later(86_400)),
        (r#"{"verdict": "later"}"#, Verdict::Later(RETRY_S)),
    ];
    for (answer, verdict) in verdicts {
        let judge = Judge::answering(StatusCode::OK, answer).await;

        assert_eq!(judge.hook().judge(&question(b"\xff\xfe")).await, verdict, "{answer}");

        let case: serde_json::Value = serde_json::from_slice(&judge.seen().concat()).unwrap();
        assert_eq!(case, serde_json::json!({ "address": "203.0.113.7", "proof": "__4" }));
    }
}

#[tokio::test]
async fn what_is_no_verdict_lets_nobody_in() {
    let long = format!(r#"{{"verdict": "allow", "why": "{}"}}"#, "x".repeat(MAX_ANSWER));
    let answers = [
        (StatusCode::OK, ""),
        (StatusCode::OK, "allow"),
        (StatusCode::OK, r#"{"verdict": "maybe"}"#),
        (StatusCode::OK, &long),
        (StatusCode::CREATED, r#"{"verdict": "allow"}"#),
        (StatusCode::INTERNAL_SERVER_ERROR, r#"{"verdict": "allow"}"#),
    ];
    for (status, answer) in answers {
        let judge = Judge::answering(status, answer).await;

        assert_eq!(judge.hook().judge(&question(b"proof")).await, Verdict::Later(RETRY_S), "{status}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let innocent = Judge::answering(StatusCode::OK, r#"{"verdict": "allow"}"#).await;
    let elsewhere = innocent.url.clone();
    let judge = Judge::serving(move || Redirect::temporary(&elsewhere)).await;

    assert_eq!(judge.hook().judge(&question(b"proof")).await, Verdict::Later(RETRY_S));
    assert!(innocent.seen().is_empty());
}

#[tokio::test]
async fn a_judge_that_is_silent_or_gone_lets_nobody_in() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let hook = RegistrationHook::build(&url, None, Duration::from_millis(200)).unwrap();

    assert_eq!(hook.judge(&question(b"proof")).await, Verdict::Later(RETRY_S), "it never answers");
    drop(listener);
    assert_eq!(hook.judge(&question(b"proof")).await, Verdict::Later(RETRY_S), "nobody listens");
}

#[tokio::test]
async fn registrations_beyond_those_that_may_be_asked_at_once_come_later() {
    let judge = Judge::answering(StatusCode::OK, r#"{"verdict": "allow"}"#).await;
    let hook = judge.hook();
    let rooms = hook.room.try_acquire_many(u32::try_from(super::MAX_ASKED).unwrap()).unwrap();

    assert_eq!(hook.judge(&question(b"proof")).await, Verdict::Later(RETRY_S));
    assert!(judge.seen().is_empty());
    drop(rooms);
    assert_eq!(hook.judge(&question(b"proof")).await, Verdict::Allow);
}

#[tokio::test]
async fn other_questions_are_another_policys() {
    let judge = Judge::answering(StatusCode::OK, r#"{"verdict": "allow"}"#).await;
    let strict = judge.hook().over(Strict);
    let of = |endpoint: EndpointId, subject: Option<&'static [u8]>| Question {
        endpoint,
        subject: subject.map(Bytes::from_static),
        ..question(b"")
    };
    let (init, other) = (RegisterInit::DESCRIPTION.id, RegistrationChallenge::DESCRIPTION.id);

    assert_eq!(judge.hook().judge(&of(init, None)).await, Verdict::Allow);
    assert_eq!(judge.hook().judge(&of(other, Some(b"proof"))).await, Verdict::Forbid, "nobody judges it");
    for question in [of(init, None), of(other, None), of(init, Some(b"proof"))] {
        assert_eq!(strict.judge(&question).await, Verdict::Later(9));
    }
    assert!(judge.seen().is_empty(), "whom the other policy refuses is not shown to the judge");
}

#[test]
fn an_address_is_one_of_http() {
    for url in ["http://127.0.0.1:9/judge", "https://judge.example/captcha?secret=1"] {
        let hook = RegistrationHook::new(url).unwrap();
        assert!(!format!("{hook:?}").contains("secret"));
    }
    for url in ["", "judge.example", "ftp://judge.example/", "file:///etc/passwd"] {
        assert_eq!(RegistrationHook::new(url).err(), Some(HookError::Address), "{url}");
    }
}

/// A service of the operator's, on a port of this machine.
struct Judge {
    url: String,
    seen: Arc<Mutex<Vec<Bytes>>>,
}

impl Judge {
    async fn answering(status: StatusCode, answer: &str) -> Self {
        let answer = answer.to_owned();
        Self::serving(move || (status, answer.clone())).await
    }

    async fn serving<R: IntoResponse>(answer: impl Fn() -> R + Clone + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/judge", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Bytes>>> = Arc::default();
        let noted = seen.clone();
        let judge = move |body: Bytes| async move {
            noted.lock().unwrap().push(body);
            answer().into_response()
        };
        let router = Router::new().route("/judge", post(judge));
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { url, seen }
    }

    fn hook(&self) -> RegistrationHook {
        RegistrationHook::new(&self.url).unwrap()
    }

    fn seen(&self) -> Vec<Bytes> {
        self.seen.lock().unwrap().clone()
    }
}

/// Has everyone come later.
struct Strict;

#[async_trait]
impl Policy for Strict {
    async fn judge(&self, _: &Question) -> Verdict {
        Verdict::Later(9)
    }
}

fn question(proof: &'static [u8]) -> Question {
    Question {
        endpoint: RegisterInit::DESCRIPTION.id,
        origin: Origin { address: "203.0.113.7".parse().ok(), request: 0 },
        peer: None,
        subject: Some(Bytes::from_static(proof)),
    }
}
