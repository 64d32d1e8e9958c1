//! A push from end to end: the key that clients are told, the token that they leave, the message, and what a push service
//! gets to see.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use phoenix_core::engine::Pushes;

use super::{
    Authority, Running,
    queue_home::{QueueClient, QueueHome},
};
use crate::{
    RouterOptions,
    push::tests::{Service, opened, subscription, vouched},
    router::routes,
    tls,
};

#[tokio::test]
async fn a_push_service_learns_that_there_is_a_message_and_nothing_of_it() {
    // given a homeserver that pushes, and a client that subscribes with the key that it is told
    let service = Service::start(StatusCode::CREATED);
    let home = QueueHome::pushing(Arc::new(service.web_push()));
    let authority = Authority::new();
    let options = RouterOptions { push_key: Some(service.key.public_key()), ..RouterOptions::default() };
    let running = Running::start(&authority, routes(home.clone(), options));
    let roots = tls::own_roots(authority.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::client(roots).unwrap())
        .resolve("alpha.test", running.address)
        .build()
        .unwrap();
    let url = format!("https://alpha.test:{}/.well-known/phoenix", running.address.port());
    let document = client.get(url).send().await.unwrap().bytes().await.unwrap();
    let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
    let told = document["push_key"].as_str().unwrap();
    let client = QueueClient::at(&home).await;
    let config = client.pushed_to(&home, subscription("https://alpha.test/push/1")).await;

    // when a message comes while it is away
    let text = "the text of a message that nobody but its reader is to see";
    home.deliver(&config, text).await;
    Pushes::new(home.engine.shared().clone()).run_once().await;

    // then the service gets one request, by the key that the client subscribed with
    let taken = service.taken();
    assert_eq!(taken.len(), 1);
    let claims = vouched(&taken[0].headers, &service.key);
    assert!(taken[0].headers["authorization"].to_str().unwrap().ends_with(told));
    assert_eq!(claims.as_object().unwrap().keys().collect::<Vec<_>>(), ["aud", "exp", "sub"]);

    // of fixed fields, and an envelope that even its owner finds empty
    let mut names: Vec<_> = taken[0].headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    let expected = ["accept", "authorization", "content-encoding", "content-length", "content-type", "topic"];
    assert_eq!(names, [&expected[..], &["ttl", "urgency"]].concat());
    assert_eq!(opened(&taken[0].body), b"");

    // so that nothing of the message or of its client's pseudonym is anywhere in it
    let fields: Vec<_> = taken[0].headers.values().map(|value| value.as_bytes()).collect();
    let all = [taken[0].to.as_bytes(), &fields.concat(), &taken[0].body].concat();
    let id = client.id.as_bytes();
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    for secret in [text.as_bytes(), id, hex.as_bytes(), URL_SAFE_NO_PAD.encode(id).as_bytes()] {
        assert!(!all.windows(secret.len()).any(|window| window == secret));
    }
}
