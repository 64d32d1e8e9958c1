//! Examines whether one can federate with a domain (08, "Federation check").

mod causes;
mod probe;
mod report;

use std::time::{Duration, SystemTime};

use http::StatusCode;
use phoenix_core::{
    Fqdn,
    api::ServiceName,
    port::Clock,
    published::{PublishedKeys, max_document},
    wire::VERSION,
};
use phoenix_homeserver::{Homeserver, SystemClock};
use tokio::time::{Instant, timeout};

use self::causes::Trouble;
pub use self::report::{CheckOutcome, CheckReport, CheckStep, StepName};
use super::{
    HttpTransport,
    discovery::{WELL_KNOWN, read},
    exchange::exchange,
};
use crate::well_known::{HTTPS, Host, Hosts};

/// Examines a domain step by step, as a homeserver that wants to talk to it would: through the transport's own
/// discovery, resolver and TLS, but without what these remember.
pub struct FederationCheck {
    transport: HttpTransport,
    home: Option<Homeserver>,
    patience: Duration,
}

/// One examination.
struct Examination<'a> {
    check: &'a FederationCheck,
    domain: &'a Fqdn,
    steps: Vec<CheckStep>,
    /// What each answer said of the time, between when it was asked for and when it was there.
    clocks: Vec<[SystemTime; 3]>,
}

/// What a step is about, and what it does.
struct Attempt {
    step: StepName,
    host: Option<String>,
    tried: String,
}

/// What a step gives, and how that is told.
type Tried<T> = Result<(T, String), Trouble>;

impl FederationCheck {
    /// Over this transport. Without a homeserver the last step is left out.
    #[must_use]
    pub const fn new(transport: HttpTransport) -> Self {
        Self { transport, home: None, patience: PATIENCE }
    }

    /// Greets the domain in this homeserver's name: an empty transaction, signed with its keys and sent over its own
    /// transport.
    #[must_use]
    pub fn greeting_as(mut self, home: Homeserver) -> Self {
        self.home = Some(home);
        self
    }

    /// How long each step may take; 10 s by default.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Examines a domain. It says nothing but what it found; where one step fails, those that build on it are not
    /// tried.
    pub async fn of(&self, domain: &Fqdn) -> CheckReport {
        let mut examination = Examination { check: self, domain, steps: Vec::new(), clocks: Vec::new() };
        examination.all().await;
        let mut steps = examination.steps;
        for step in EXPECTED {
            if !steps.iter().any(|done| done.step == step) {
                steps.push(CheckStep::not_tried(step));
            }
        }
        steps.sort_by_key(|step| step.step);
        let ok = steps.iter().all(|step| step.outcome != CheckOutcome::Failed);
        CheckReport { domain: domain.to_string(), ok, steps }
    }
}

impl Examination<'_> {
    async fn all(&mut self) {
        let own = Host { name: self.domain.clone(), port: HTTPS };
        if !self.host(&own, [StepName::Addresses, StepName::Tls]).await {
            return;
        }
        let Some(hosts) = self.services().await else { return };
        let mut reached = vec![(own, true)];
        let mut is_there = false;
        for service in ServiceName::ALL {
            let host = hosts.host(service);
            let known = reached.iter().find(|(known, _)| known == host).map(|(_, is_reached)| *is_reached);
            let is_reached = match known {
                Some(is_reached) => is_reached,
                None => {
                    let is_reached =
                        self.host(host, [StepName::ServiceAddresses, StepName::ServiceTls]).await;
                    reached.push((host.clone(), is_reached));
                    is_reached
                }
            };
            let has_keys = is_reached && self.keys(service, host).await;
            is_there |= has_keys && service == ServiceName::Qs;
        }
        self.clock();
        if is_there {
            self.transaction().await;
        }
    }

    /// Whether a host's name leads somewhere, and its certificate is right.
    async fn host(&mut self, host: &Host, [addresses, tls]: [StepName; 2]) -> bool {
        let parts = &self.check.transport.0;
        let tried = format!("resolve {} and connect to TCP port {}", host.name, host.port);
        let attempt = Attempt { step: addresses, host: Some(host.to_string()), tried };
        let Some(connections) = self.step(attempt, probe::connect(parts, host)).await else { return false };
        let tried = format!("TLS 1.3 at each, with a certificate for {}", host.name);
        let attempt = Attempt { step: tls, host: Some(host.to_string()), tried };
        self.step(attempt, probe::secure(parts, host, connections)).await.is_some()
    }

    /// Where the domain's services are.
    async fn services(&mut self) -> Option<Hosts> {
        let (discovery, domain) = (&self.check.transport.0.discovery, self.domain);
        let work = async {
            let answer = discovery.ask(domain).await.map_err(|error| causes::unanswered(&error))?;
            let (hosts, age) =
                read(&answer, domain).map_err(|unread| causes::unread(&unread, &answer.body, domain))?;
            let has_document = answer.status == StatusCode::OK;
            let how = match has_document {
                true => format!("a document, good for {} s", age.as_secs()),
                false => format!("404, so the services are at as.{domain}, ds.{domain} and qs.{domain}"),
            };
            Ok(((hosts, has_document), how))
        };
        let tried = format!("GET https://{domain}{WELL_KNOWN}");
        let attempt = Attempt { step: StepName::WellKnown, host: None, tried };
        let (hosts, has_document) = self.step(attempt, work).await?;
        let told = if has_document { "among those of the document" } else { "taken for granted" };
        self.passed(StepName::Versions, format!("version {VERSION}, {told}"));
        Some(hosts)
    }

    /// Whether a service publishes its keys, and, of an AS, whether they are signed from the roots on.
    async fn keys(&mut self, service: ServiceName, host: &Host) -> bool {
        let (check, domain) = (self.check, self.domain);
        let path = service.keys_path();
        let url = format!("https://{}{path}", check.transport.0.resolver.authority(host));
        let asked_at = SystemTime::now();
        let mut said = None;
        let work = async {
            let request = check.transport.0.discovery.client().get(&url);
            let answer = exchange(request, max_document(service)).await;
            let answer = answer.map_err(|error| causes::unanswered(&error))?;
            said = answer.date.map(|date| [asked_at, date, SystemTime::now()]);
            if answer.status != StatusCode::OK {
                return Err(causes::no_document(answer.status, service));
            }
            let now = SystemClock.now();
            let keys = PublishedKeys::decode(service, &answer.body, domain, now)
                .map_err(|reject| causes::undecoded(&reject, service))?;
            Ok(((), causes::in_force(&keys, now)?))
        };
        let step = match service {
            ServiceName::As => StepName::AsKeys,
            ServiceName::Qs => StepName::QsKeys,
            ServiceName::Ds => StepName::DsKeys,
        };
        let attempt = Attempt { step, host: Some(host.to_string()), tried: format!("GET {url}") };
        let is_found = self.step(attempt, work).await.is_some();
        self.clocks.extend(said);
        if is_found && service == ServiceName::As {
            self.passed(
                StepName::Chain,
                "roots, statement, intermediates, revocations and token keys verify",
            );
        }
        is_found
    }

    /// Whether the answers say the time that this machine's clock says.
    fn clock(&mut self) {
        if self.clocks.is_empty() {
            let found = "its answers do not say what time it is";
            return self.left_out(StepName::Clock, found, "compare the clocks of both machines by hand");
        }
        match causes::clock(&self.clocks) {
            Ok(found) => self.passed(StepName::Clock, found),
            Err(trouble) => {
                let tried = Some("compare the Date of its answers with this machine's clock".to_owned());
                self.steps.push(CheckStep::failed(StepName::Clock, tried, trouble));
            }
        }
    }

    /// Whether the QS takes an empty transaction.
    async fn transaction(&mut self) {
        let (domain, home) = (self.domain, self.check.home.as_ref());
        let Some(home) = home else {
            let found = "there is no homeserver here whose keys could sign one";
            let remedy = "name your homeserver's database with --db, and its operator key; in a program, \
                          FederationCheck::greeting_as";
            return self.left_out(StepName::Transaction, found, remedy);
        };
        if home.domain() == domain {
            let found = "a homeserver sends itself none";
            return self.left_out(
                StepName::Transaction,
                found,
                "check it with another homeserver's database",
            );
        }
        let work = async {
            match home.admin().greeting(domain).await {
                Ok(()) => Ok(((), "it was taken, and a receipt came back".to_owned())),
                Err(error) => Err(causes::ungreeted(error, home.domain())),
            }
        };
        let tried = format!("POST an empty transaction, signed as {}", home.domain());
        self.step(Attempt { step: StepName::Transaction, host: None, tried }, work).await;
    }

    /// Does a step, and keeps what came of it.
    async fn step<T>(&mut self, attempt: Attempt, work: impl Future<Output = Tried<T>>) -> Option<T> {
        let Attempt { step, host, tried } = attempt;
        let begun = Instant::now();
        let outcome = timeout(self.check.patience, work).await.unwrap_or_else(|_| Err(causes::silence(step)));
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (result, done) = match outcome {
            Ok((result, found)) => (Some(result), CheckStep::passed(step, found)),
            Err(trouble) => (None, CheckStep::failed(step, None, trouble)),
        };
        // What another step is about had this one pass.
        if done.step != step {
            let before = CheckStep::passed(step, "a document of this domain");
            self.steps.push(CheckStep { host: host.clone(), tried: Some(tried.clone()), took_ms, ..before });
        }
        self.steps.push(CheckStep { host, tried: Some(tried), took_ms, ..done });
        result
    }

    fn passed(&mut self, step: StepName, found: impl Into<String>) {
        self.steps.push(CheckStep::passed(step, found));
    }

    fn left_out(&mut self, step: StepName, found: &str, remedy: &str) {
        let outcome = CheckOutcome::LeftOut;
        self.steps.push(CheckStep {
            outcome,
            remedy: Some(remedy.to_owned()),
            ..CheckStep::passed(step, found)
        });
    }
}

impl CheckStep {
    fn passed(step: StepName, found: impl Into<String>) -> Self {
        let outcome = CheckOutcome::Passed;
        Self { step, host: None, outcome, tried: None, found: found.into(), remedy: None, took_ms: 0 }
    }

    fn failed(step: StepName, tried: Option<String>, trouble: Trouble) -> Self {
        let Trouble { step: other, found, remedy } = trouble;
        let outcome = CheckOutcome::Failed;
        let step = other.unwrap_or(step);
        Self { outcome, tried, remedy: Some(remedy), ..Self::passed(step, found) }
    }

    fn not_tried(step: StepName) -> Self {
        let outcome = CheckOutcome::NotTried;
        Self { outcome, ..Self::passed(step, "an earlier step must pass first") }
    }
}

/// Steps that every report has.
const EXPECTED: [StepName; 10] = [
    StepName::Addresses,
    StepName::Tls,
    StepName::WellKnown,
    StepName::Versions,
    StepName::AsKeys,
    StepName::QsKeys,
    StepName::DsKeys,
    StepName::Chain,
    StepName::Clock,
    StepName::Transaction,
];
/// How long a step may take: as long as a document may in earnest.
const PATIENCE: Duration = Duration::from_secs(10);
