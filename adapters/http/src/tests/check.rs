//! The federation check against a healthy peer and against broken ones (08, "Federation check").

use std::{
    net::{SocketAddr, TcpListener},
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{Next, from_fn},
    response::Response,
};
use http::{
    HeaderValue, StatusCode,
    header::{DATE, LOCATION},
};
use phoenix_core::{Fqdn, port::Inline, store::MemoryStore};
use phoenix_homeserver::Homeserver;
use serde_json::json;

use super::{Authority, Running, alpha, homeserver::homeserver};
use crate::{
    CheckOutcome, CheckReport, FederationCheck, HttpTransport, HttpTransportBuilder, ServerLimits, ServerTls,
    StepName, router, transport::Everywhere,
};

#[tokio::test]
async fn a_healthy_peer_passes_every_step() {
    let authority = Authority::new();
    let [(at_alpha, alpha_address), (at_beta, beta_address)] = [listener(), listener()];
    let transport = |domain: &str, address| {
        let builder = HttpTransport::builder().authorities(authority.pem());
        builder.resolve(domain.parse().unwrap(), address).build().unwrap()
    };
    let [alpha_home, beta_home] =
        [("alpha.test", "beta.test", beta_address), ("beta.test", "alpha.test", alpha_address)]
            .map(|(domain, other, address)| (domain.parse::<Fqdn>().unwrap(), transport(other, address)));
    let alpha_home = served(alpha_home).await;
    let beta_home = served(beta_home).await;
    let limits = ServerLimits::default;
    let _alpha = Running::start_on(at_alpha, authority.server(), router(alpha_home), limits());
    let beta_tls = authority.server_of("beta.test", 4096);
    let _beta = Running::start_on(at_beta, beta_tls, router(beta_home.clone()), limits());

    let check = FederationCheck::new(transport("alpha.test", alpha_address)).greeting_as(beta_home);
    let report = check.of(&alpha()).await;

    assert!(report.ok, "{report}");
    let passed: Vec<_> = report.steps.iter().map(|it| (it.step.as_str(), it.outcome)).collect();
    let expected = [
        "addresses",
        "tls",
        "well-known",
        "versions",
        "as-keys",
        "qs-keys",
        "ds-keys",
        "chain",
        "clock",
        "transaction",
    ];
    assert_eq!(passed, expected.map(|name| (name, CheckOutcome::Passed)));
    assert!(report.to_string().ends_with("alpha.test: nothing is wrong"), "{report}");
}

#[tokio::test]
async fn without_a_homeserver_the_transaction_is_left_out_and_how_to_have_it_is_told() {
    let report = Peer::healthy().await.report().await;

    assert!(report.ok, "{report}");
    let last = report.steps.last().unwrap();
    assert_eq!((last.step, last.outcome), (StepName::Transaction, CheckOutcome::LeftOut));
    assert!(last.remedy.as_ref().unwrap().contains("--db"));
}

#[tokio::test]
async fn a_peer_that_cannot_verify_who_greets_is_told_to_look_from_its_side() {
    // given a homeserver that its peer cannot reach
    let peer = Peer::healthy().await;
    let beta = served(("beta.test".parse().unwrap(), peer.transport())).await;

    let report = FederationCheck::new(peer.transport()).greeting_as(beta).of(&alpha()).await;

    assert_fails(&report, StepName::Transaction, "it refused", "check beta.test");
}

#[tokio::test]
async fn a_certificate_of_another_name_fails_at_tls() {
    let peer = Peer::start(|authority| authority.server_of("beta.test", 4096), |_| None).await;

    let report = peer.report().await;

    assert_fails(&report, StepName::Tls, "beta.test", "get a certificate for alpha.test");
    assert_eq!(not_tried(&report), 8, "{report}");
}

#[tokio::test]
async fn an_expired_certificate_fails_at_tls() {
    let peer = Peer::start(|authority| authority.server_of("alpha.test", 2020), |_| None).await;

    assert_fails(&peer.report().await, StepName::Tls, "expired", "renew the certificate");
}

#[tokio::test]
async fn the_document_of_another_domain_fails_at_the_well_known() {
    let peer = Peer::telling(|| document("beta.test", 1, "alpha.test")).await;

    let report = peer.report().await;

    assert_fails(&report, StepName::WellKnown, "that of beta.test", "serve --domain alpha.test");
    assert_eq!(not_tried(&report), 7, "{report}");
}

#[tokio::test]
async fn a_clock_that_is_off_by_ten_minutes_fails_at_the_clock() {
    for off in [600_i64, -600] {
        let late = move |request: Request, next: Next| async move {
            let mut response = next.run(request).await;
            let now = SystemTime::now();
            let by = Duration::from_secs(off.unsigned_abs());
            let said = httpdate::fmt_http_date(if off < 0 { now - by } else { now + by });
            response.headers_mut().insert(DATE, HeaderValue::try_from(said).unwrap());
            response
        };
        let authority = Authority::new();
        let running = Running::start(&authority, router(homeserver().await).layer(from_fn(late)));

        let report = Peer { authority, address: running.address(), running: Some(running) }.report().await;

        assert_fails(&report, StepName::Clock, "its clock is ", "NTP");
        assert!(report.failure().unwrap().found.contains(if off < 0 { "s behind" } else { "s ahead" }));
    }
}

#[tokio::test]
async fn a_peer_without_a_qs_fails_at_its_keys_and_the_other_services_are_examined() {
    let peer = Peer::start(Authority::server, |path| {
        (path == "/.well-known/phoenix/qs-keys").then(|| status(StatusCode::NOT_FOUND))
    })
    .await;

    let report = peer.report().await;

    assert_fails(&report, StepName::QsKeys, "there is no QS", "name the host that runs it as \"qs\"");
    for step in [StepName::AsKeys, StepName::DsKeys, StepName::Chain, StepName::Clock] {
        assert_eq!(outcome(&report, step), CheckOutcome::Passed, "{report}");
    }
    assert_eq!(outcome(&report, StepName::Transaction), CheckOutcome::NotTried);
}

#[tokio::test]
async fn a_redirect_fails_at_the_well_known_and_is_not_followed() {
    let away = || {
        let mut response = status(StatusCode::MOVED_PERMANENTLY);
        response.headers_mut().insert(LOCATION, HeaderValue::from_static("https://alpha.test/elsewhere"));
        response
    };

    let report = Peer::telling(away).await.report().await;

    assert_fails(&report, StepName::WellKnown, "301, a redirect", "without a redirect");
}

#[tokio::test]
async fn an_unknown_version_fails_at_the_versions() {
    let report = Peer::telling(|| document("alpha.test", 7, "alpha.test")).await.report().await;

    assert_fails(&report, StepName::Versions, "it speaks version 7; this one speaks 1", "update the older");
    assert_eq!(outcome(&report, StepName::WellKnown), CheckOutcome::Passed);
}

#[tokio::test]
async fn nobody_at_the_port_and_somebody_who_says_nothing_are_told_apart() {
    // given a port that was closed, and one that takes connections and never says anything
    let (closed, silent) = (listener().1, listener());
    let peer = |address| Peer { authority: Authority::new(), address, running: None };

    let nobody = peer(closed).report().await;
    let check = FederationCheck::new(peer(silent.1).transport()).patience(Duration::from_millis(100));
    let nothing = check.of(&alpha()).await;

    assert_fails(&nobody, StepName::Addresses, "takes a connection", "firewalls");
    assert_eq!(not_tried(&nobody), 9, "{nobody}");
    assert_fails(&nothing, StepName::Tls, "no answer in time", "listens on that port");
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_fails_at_tls() {
    let peer = Peer { authority: Authority::new(), ..Peer::healthy().await };

    assert_fails(&peer.report().await, StepName::Tls, "not trusted", "--authority FILE");
}

#[tokio::test]
async fn keys_that_do_not_verify_fail_at_the_chain() {
    let home = homeserver().await;
    let keys = home.document(phoenix_core::api::ServiceName::As).await.unwrap();
    let mut forged: serde_json::Value = serde_json::from_slice(&keys).unwrap();
    let serial = forged["statement"]["serial"].as_u64().unwrap();
    forged["statement"]["serial"] = json!(serial + 1);
    let forged = forged.to_string();
    let peer = Peer::start(Authority::server, move |path| {
        (path == "/.well-known/phoenix/as-keys").then(|| Response::new(Body::from(forged.clone())))
    })
    .await;

    let report = peer.report().await;

    assert_fails(&report, StepName::Chain, "does not verify", "authority show");
    assert_eq!(outcome(&report, StepName::AsKeys), CheckOutcome::Passed);
}

#[tokio::test]
async fn t23_a_delegation_into_an_inner_network_is_examined_no_further() {
    // given a domain that names another host for its QS, which leads to this machine
    let peer = Peer::telling(|| document("alpha.test", 1, "qs.gamma.test:8443")).await;
    let transport = peer.builder().names(Everywhere(vec!["127.0.0.1".parse().unwrap()])).build().unwrap();

    let report = FederationCheck::new(transport).of(&alpha()).await;

    assert_fails(&report, StepName::ServiceAddresses, "127.0.0.1", "--resolve qs.gamma.test=address:port");
    let failed = report.failure().unwrap();
    assert_eq!(failed.host.as_deref(), Some("qs.gamma.test:8443"));
    for step in [StepName::QsKeys, StepName::Transaction] {
        assert_eq!(outcome(&report, step), CheckOutcome::NotTried, "{report}");
    }
    assert_eq!(outcome(&report, StepName::DsKeys), CheckOutcome::Passed, "{report}");
}

#[tokio::test]
async fn what_a_peer_says_is_shown_in_printable_letters_and_in_bounds() {
    let long = "\u{1b}]0;owned\u{7}\r\n".repeat(1_000);
    let peer = Peer::telling(move || document(&long, 1, "alpha.test")).await;

    let report = peer.report().await;

    let shown = report.to_string();
    assert!(shown.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{shown}");
    assert!(shown.len() < 4_096);
    assert_eq!(report.failure().unwrap().step, StepName::WellKnown);
}

#[tokio::test]
async fn a_document_that_never_ends_is_not_read() {
    let endless = || Response::new(Body::from(vec![b' '; 1 << 20]));

    let report = Peer::telling(endless).await.report().await;

    assert_fails(&report, StepName::WellKnown, "too long", "the homeserver that answers there");
}

#[tokio::test]
async fn without_a_document_the_hosts_below_the_domain_are_examined() {
    let report = Peer::telling(|| status(StatusCode::NOT_FOUND)).await.report().await;

    assert!(report.ok, "{report}");
    let hosts: Vec<_> = report
        .steps
        .iter()
        .filter(|it| it.step == StepName::ServiceTls)
        .map(|it| it.host.clone().unwrap())
        .collect();
    assert_eq!(hosts, ["as.alpha.test:443", "qs.alpha.test:443", "ds.alpha.test:443"]);
}

#[tokio::test]
async fn a_report_is_the_same_for_programs() {
    let report = Peer::telling(|| document("beta.test", 1, "alpha.test")).await.report().await;

    let value = serde_json::to_value(&report).unwrap();

    assert_eq!((&value["domain"], &value["ok"]), (&json!("alpha.test"), &json!(false)));
    let step = &value["steps"][2];
    assert_eq!((&step["step"], &step["outcome"]), (&json!("well-known"), &json!("failed")));
    assert!(step["took_ms"].is_u64() && step["remedy"].is_string() && step["tried"].is_string(), "{step}");
    for (step, told) in report.steps.iter().zip(value["steps"].as_array().unwrap()) {
        assert_eq!(told["step"], step.step.as_str());
    }
}

/// Somebody at `alpha.test`, and how they are reached.
struct Peer {
    authority: Authority,
    address: SocketAddr,
    running: Option<Running>,
}

impl Peer {
    async fn healthy() -> Self {
        Self::start(Authority::server, |_| None).await
    }

    /// A homeserver that answers otherwise where it is asked where its services are.
    async fn telling(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> Self {
        Self::start(Authority::server, move |path| (path == "/.well-known/phoenix").then(&answer)).await
    }

    /// A homeserver with this certificate, that answers otherwise where something is given for the path.
    async fn start(
        tls: impl FnOnce(&Authority) -> ServerTls,
        otherwise: impl Fn(&str) -> Option<Response> + Clone + Send + Sync + 'static,
    ) -> Self {
        let altered = move |request: Request, next: Next| {
            let response = otherwise(request.uri().path());
            async move {
                match response {
                    Some(response) => response,
                    None => next.run(request).await,
                }
            }
        };
        let router: Router = router(homeserver().await).layer(from_fn(altered));
        let authority = Authority::new();
        let (listener, address) = listener();
        let running = Running::start_on(listener, tls(&authority), router, ServerLimits::default());
        Self { authority, address, running: Some(running) }
    }

    fn builder(&self) -> HttpTransportBuilder {
        HttpTransport::builder().authorities(self.authority.pem()).resolve(alpha(), self.address)
    }

    fn transport(&self) -> HttpTransport {
        self.builder().build().unwrap()
    }

    /// What the check says of it, after which it ends.
    async fn report(self) -> CheckReport {
        let report = FederationCheck::new(self.transport()).of(&alpha()).await;
        drop(self.running);
        report
    }
}

/// That the first step that failed is this, with these words in what was found and in the remedy; each other step that
/// is not tried says so.
fn assert_fails(report: &CheckReport, step: StepName, found: &str, remedy: &str) {
    let failed = report.failure().unwrap_or_else(|| panic!("{report}"));
    assert!(!report.ok);
    assert_eq!(failed.step, step, "{report}");
    assert!(failed.found.contains(found), "{report}");
    assert!(failed.remedy.as_ref().unwrap().contains(remedy), "{report}");
    assert!(failed.tried.is_some(), "{report}");
}

fn not_tried(report: &CheckReport) -> usize {
    report.steps.iter().filter(|it| it.outcome == CheckOutcome::NotTried).count()
}

fn outcome(report: &CheckReport, step: StepName) -> CheckOutcome {
    report.steps.iter().find(|it| it.step == step).unwrap().outcome
}

fn status(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn document(domain: &str, version: u16, qs: &str) -> Response {
    let json = json!({
        "domain": domain, "versions": [version], "as": "alpha.test", "ds": "alpha.test", "qs": qs, "max_age_s": 60,
    });
    Response::new(Body::from(json.to_string()))
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn served((domain, transport): (Fqdn, HttpTransport)) -> Homeserver {
    let builder = Homeserver::builder(domain).store(MemoryStore::new()).compute(Inline);
    builder.transport(transport).build().await.unwrap()
}
