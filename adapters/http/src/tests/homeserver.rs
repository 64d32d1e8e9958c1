//! The same with a homeserver behind it.

use axum::body::Body;
use http::{
    Request,
    header::{CONTENT_TYPE, WWW_AUTHENTICATE},
};
use phoenix_core::{
    ErrorCode,
    api::{
        Empty, Endpoint, ServiceName,
        auth::{ChallengeReply, RegistrationChallenge},
        delivery::RequestGroupId,
    },
    port::{Circuit, Compute, Inline, Outgoing, Transport},
    store::MemoryStore,
    wire::{Call, Opaque, VERSION, Wire},
};
use phoenix_homeserver::Homeserver;
use tower::ServiceExt;

use super::{Authority, Running, alpha};
use crate::{HttpTransport, MEDIA_TYPE, router};

#[tokio::test]
async fn a_homeserver_is_called_and_its_keys_are_fetched_over_https() {
    let authority = Authority::new();
    let running = Running::start(&authority, router(homeserver().await));
    let transport = running.transport(&authority);

    let outgoing = Outgoing {
        service: ServiceName::As,
        name: RegistrationChallenge::DESCRIPTION.name,
        call: call::<RegistrationChallenge>(&Empty {}),
        circuit: Circuit(0),
    };
    let reply = transport.send(&alpha(), outgoing).await.unwrap().unwrap();
    assert!(ChallengeReply::decode(&reply).unwrap().is_open());
    for service in ServiceName::ALL {
        let document = transport.fetch(&alpha(), service).await.unwrap();
        assert!(serde_json::from_slice::<serde_json::Value>(&document).unwrap().is_object());
    }
}

#[tokio::test]
async fn who_comes_without_a_token_is_told_which_is_wanted() {
    let request = Request::post("/v1/ds/request_group_id")
        .header(CONTENT_TYPE, MEDIA_TYPE)
        .body(Body::from(call::<RequestGroupId>(&Empty {}).encode()))
        .unwrap();

    let response = router(homeserver().await).oneshot(request).await.unwrap();

    let wanted = response.headers()[WWW_AUTHENTICATE].to_str().unwrap();
    assert!(wanted.starts_with("PrivateToken challenge=\"") && wanted.contains("token-key=\""), "{wanted}");
    let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
    assert_eq!(crate::error::reply_in(&body).unwrap().code, ErrorCode::TokenRequired);
}

fn call<E: Endpoint>(request: &E::Request) -> Call {
    let body = Opaque::new(request.encode()).unwrap();
    Call { version: VERSION, endpoint: E::DESCRIPTION.id, auth: None, token: None, body }
}

pub(super) async fn homeserver() -> Homeserver {
    homeserver_on(Inline).await
}

/// One whose heavy computations run there.
pub(super) async fn homeserver_on(compute: impl Compute) -> Homeserver {
    let builder = Homeserver::builder(alpha()).store(MemoryStore::new()).compute(compute);
    builder.transport(HttpTransport::new().unwrap()).build().await.unwrap()
}
