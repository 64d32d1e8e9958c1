//! Names that lead elsewhere the next time, and proxies that nobody asked for (10, T28).

use std::{
    env, io,
    net::{IpAddr, TcpListener},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use axum::{Router, routing::get};
use phoenix_core::{
    Fqdn,
    api::ServiceName,
    port::{StreamTransport, Transport, TransportError},
};
use serde_json::json;

use super::{Authority, Running, alpha, outgoing};
use crate::{HttpTransport, NameService};

#[tokio::test]
async fn t28_a_name_that_is_bound_anew_never_leads_to_an_inner_listener() {
    // given a domain that sends to a host whose name leads outside when it is asked for first, then to a listener here
    let inner = TcpListener::bind("127.0.0.1:0").unwrap();
    inner.set_nonblocking(true).unwrap();
    let host = format!("evil.test:{}", inner.local_addr().unwrap().port());
    let document = json!({
        "domain": "alpha.test", "versions": [1], "as": host, "ds": host, "qs": host, "max_age_s": 86_400,
    });
    let document = document.to_string();
    let authority = Authority::new();
    let running =
        Running::start(&authority, Router::new().route("/.well-known/phoenix", get(async move || document)));

    for way in [Way::Keys, Way::Call, Way::Stream] {
        let names = Rebound::default();
        let transport =
            HttpTransport::builder().authorities(authority.pem()).resolve(alpha(), running.address());
        let transport = transport.names(names.clone()).build().unwrap();

        // when it is called, then the name is asked for once, and the address that was checked is the one that is tried
        assert_eq!(way.go(&transport).await, Some(TransportError::Unreachable), "nobody is there");
        assert_eq!(names.questions(), 1);

        // and each time after that, what the name leads to is refused
        for questions in 2..4 {
            assert_eq!(way.go(&transport).await, Some(TransportError::Refused));
            assert_eq!(names.questions(), questions);
        }
        let reached = inner.accept().map(drop).map_err(|error| error.kind());
        assert_eq!(reached, Err(io::ErrorKind::WouldBlock));
    }
}

#[tokio::test]
async fn t28_proxies_of_the_environment_are_not_asked() {
    // given, in a process of its own, an environment that names a proxy for everything
    if env::var_os(INSIDE).is_some() {
        let authority = Authority::new();
        let document = Router::new().route("/.well-known/phoenix/as-keys", get(async || "{}"));
        let running = Running::start(&authority, document);
        running.transport(&authority).fetch(&alpha(), ServiceName::As).await.unwrap();
        return;
    }
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "tests::rebinding::t28_proxies_of_the_environment_are_not_asked"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        child.env(name, &address).env(name.to_lowercase(), &address);
    }
    child.env(INSIDE, "yes").env_remove("NO_PROXY").env_remove("no_proxy");

    // when a homeserver is asked for something, then it answers, and the proxy hears nothing
    let ended = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
    let asked = proxy.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(asked, Err(io::ErrorKind::WouldBlock));
}

/// Ways to a homeserver.
#[derive(Clone, Copy)]
enum Way {
    Keys,
    Call,
    Stream,
}

impl Way {
    async fn go(self, transport: &HttpTransport) -> Option<TransportError> {
        let to = alpha();
        match self {
            Self::Keys => transport.fetch(&to, ServiceName::Qs).await.err(),
            Self::Call => transport.send(&to, outgoing("echo", "", None)).await.err(),
            Self::Stream => transport.open(&to, outgoing("echo", "", None)).await.err(),
        }
    }
}

/// Leads to an address outside when asked first, and to this machine from then on.
#[derive(Clone, Default)]
struct Rebound(Arc<AtomicUsize>);

impl Rebound {
    fn questions(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl NameService for Rebound {
    async fn addresses(&self, host: &Fqdn) -> io::Result<Vec<IpAddr>> {
        assert_eq!(host.as_str(), "evil.test");
        // Of a block of public addresses that was given to nobody.
        let outside = "3f00::1".parse().unwrap();
        let inside = "127.0.0.1".parse().unwrap();
        Ok(vec![if self.0.fetch_add(1, Ordering::SeqCst) == 0 { outside } else { inside }])
    }
}

/// Set in the process whose environment names a proxy.
const INSIDE: &str = "PHOENIX_TEST_BEHIND_A_PROXY";
