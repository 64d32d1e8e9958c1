//! Which protocols are spoken (02, "HTTP binding").

use std::sync::Arc;

use http::{Version, header::CONTENT_TYPE};
use phoenix_core::wire::Wire;
use rustls::{ClientConfig, SupportedProtocolVersion, crypto::ring, version};

use super::{Authority, Echo, Running, call};
use crate::{MEDIA_TYPE, RouterOptions, router::routes, tls::own_roots};

#[tokio::test]
async fn http_1_1_and_2_are_spoken_as_the_caller_prefers() {
    let authority = Authority::new();
    let running = Running::start(&authority, routes(Echo::new(), RouterOptions::default()));

    for (protocol, expected) in [("http/1.1", Version::HTTP_11), ("h2", Version::HTTP_2)] {
        let response = post(&authority, &running, protocol, &version::TLS13).await.unwrap();

        assert_eq!((response.status().as_u16(), response.version()), (200, expected));
        assert_eq!(response.bytes().await.unwrap(), "hello");
    }
}

#[tokio::test]
async fn tls_before_1_3_is_not_spoken() {
    let authority = Authority::new();
    let running = Running::start(&authority, routes(Echo::new(), RouterOptions::default()));

    let error = post(&authority, &running, "h2", &version::TLS12).await.unwrap_err();

    assert!(error.is_connect());
}

async fn post(
    authority: &Authority,
    running: &Running,
    protocol: &str,
    tls: &'static SupportedProtocolVersion,
) -> reqwest::Result<reqwest::Response> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[tls])
        .unwrap()
        .with_root_certificates(own_roots(authority.pem().as_bytes()).unwrap())
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .no_proxy()
        .resolve("alpha.test", running.address)
        .build()
        .unwrap();
    let url = format!("https://alpha.test:{}/v1/ds/echo", running.address.port());
    client.post(url).header(CONTENT_TYPE, MEDIA_TYPE).body(call("echo", "hello").encode()).send().await
}
