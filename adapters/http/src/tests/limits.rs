//! What an operator limits and changes, as it shows on HTTP.

use std::net::SocketAddr;

use axum::{Router, body::Body, extract::ConnectInfo, response::Response};
use base64::{Engine, engine::general_purpose::URL_SAFE};
use http::{
    Request, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use phoenix_core::{
    ErrorCode,
    api::{
        Description, Empty, Endpoint, ServiceName,
        auth::RegistrationChallenge,
        queue::{FriendshipToken, GetAddPackages, GetAddPackagesRequest, Route},
    },
    costs::{CostError, Costs},
    limit::{Limits, Rate},
    port::{Circuit, Outgoing, Transport},
    store::MemoryStore,
    token::Class,
    wire::{Call, Opaque, VERSION, Wire},
};
use phoenix_homeserver::{BuildError, Builder, Homeserver};
use tower::ServiceExt;

use super::{Authority, Running, alpha};
use crate::{HttpTransport, MEDIA_TYPE, error::reply_in, router};

#[tokio::test]
async fn a_source_over_its_limit_is_told_when_to_come_back_and_others_are_not() {
    let limits = Limits { tokenless: Some(Rate::new(1, 3)), ..Limits::unlimited() };
    let router = router(builder().limits(limits).build().await.unwrap());
    let asked = || call::<RegistrationChallenge>(Empty {}.encode().to_vec());

    for _ in 0..3 {
        assert_eq!(post(&router, "192.0.2.1:1000", &CHALLENGE, asked()).await.status(), StatusCode::OK);
    }
    let over = post(&router, "192.0.2.1:2000", &CHALLENGE, asked()).await;
    let other = post(&router, "192.0.2.2:1000", &CHALLENGE, asked()).await;

    assert_eq!(over.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(over.headers()[RETRY_AFTER], "1");
    let body = axum::body::to_bytes(over.into_body(), 1 << 16).await.unwrap();
    let reply = reply_in(&body).unwrap();
    assert_eq!((reply.code, reply.retry_after_s), (ErrorCode::RateLimited, Some(1)));
    assert_eq!(other.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_limit_of_a_source_holds_over_real_connections() {
    let limits = Limits { tokenless: Some(Rate::new(1, 2)), ..Limits::unlimited() };
    let authority = Authority::new();
    let running = Running::start(&authority, router(builder().limits(limits).build().await.unwrap()));
    let mut answers = Vec::new();

    for number in 0..3 {
        // Other connections do not help: the address counts.
        let transport = running.transport(&authority);
        let outgoing = Outgoing {
            service: ServiceName::As,
            name: RegistrationChallenge::DESCRIPTION.name,
            call: call::<RegistrationChallenge>(Empty {}.encode().to_vec()),
            circuit: Circuit(number),
        };
        answers.push(transport.send(&alpha(), outgoing).await.unwrap().map(drop));
    }

    assert_eq!(answers[..2], [Ok(()), Ok(())]);
    let refused = answers[2].as_ref().unwrap_err();
    assert_eq!((refused.code, refused.retry_after_s), (ErrorCode::RateLimited, Some(1)));
}

#[tokio::test]
async fn published_keys_count_as_if_they_were_asked_for_at_their_endpoint() {
    let limits = Limits { tokenless: Some(Rate::new(1, 3)), ..Limits::unlimited() };
    let router = router(builder().limits(limits).build().await.unwrap());
    let get = async |service: ServiceName, from: &str| {
        let from: SocketAddr = from.parse().unwrap();
        let request =
            Request::get(service.keys_path()).extension(ConnectInfo(from)).body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap()
    };

    for service in ServiceName::ALL {
        assert_eq!(get(service, "192.0.2.1:1000").await.status(), StatusCode::OK);
    }
    let over = get(ServiceName::As, "192.0.2.1:2000").await;

    assert_eq!(over.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(over.headers()[RETRY_AFTER], "1");
    assert_eq!(get(ServiceName::As, "192.0.2.2:1000").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_changed_cost_is_what_the_challenge_names() {
    let costs = Costs::default().with(GetAddPackages::DESCRIPTION.id, Some(Class::Contact));
    let changed = builder().costs(costs).build().await.unwrap();
    let usual = builder().build().await.unwrap();
    let token = FriendshipToken { route: Route(Opaque::default()), secret: [0; 32].into() };
    let request = GetAddPackagesRequest { token, suite: 1 };

    for (home, class) in [(changed, Class::Contact), (usual, Class::Standard)] {
        let (_, key) = home.challenges(class).remove(0);
        let asked = call::<GetAddPackages>(request.encode().to_vec());

        let response = post(&router(home), "192.0.2.1:1", &GetAddPackages::DESCRIPTION, asked).await;

        let wanted = response.headers()[WWW_AUTHENTICATE].to_str().unwrap().to_owned();
        assert!(wanted.contains(&format!("token-key=\"{}\"", URL_SAFE.encode(key))), "{class:?}: {wanted}");
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let reply = reply_in(&body).unwrap();
        assert_eq!((reply.code, reply.wanted_class()), (ErrorCode::TokenRequired, Some(class)));
    }
}

#[tokio::test]
async fn a_cost_that_cannot_be_keeps_the_homeserver_from_starting() {
    let costs = Costs::default().with(RegistrationChallenge::DESCRIPTION.id, Some(Class::Standard));

    let built = builder().costs(costs).build().await;

    assert!(matches!(built.err(), Some(BuildError::Cost(CostError::Free("registration_challenge")))));
}

fn builder() -> Builder {
    Homeserver::builder(alpha()).store(MemoryStore::new()).transport(HttpTransport::new().unwrap())
}

fn call<E: Endpoint>(body: Vec<u8>) -> Call {
    let body = Opaque::new(body).unwrap();
    Call { version: VERSION, endpoint: E::DESCRIPTION.id, auth: None, token: None, body }
}

async fn post(router: &Router, from: &str, endpoint: &Description, call: Call) -> Response {
    let from: SocketAddr = from.parse().unwrap();
    let request = Request::post(endpoint.service.path(endpoint.name))
        .header(CONTENT_TYPE, MEDIA_TYPE)
        .extension(ConnectInfo(from))
        .body(Body::from(call.encode()))
        .unwrap();
    router.clone().oneshot(request).await.unwrap()
}

const CHALLENGE: Description = RegistrationChallenge::DESCRIPTION;
