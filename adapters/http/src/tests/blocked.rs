//! A network that lets two homeservers not reach each other (10, T23).

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, routing::get};
use phoenix_client::{Client, ClientPorts, Event, Settings, Stretch};
use phoenix_core::{Fqdn, GroupId, port::Inline, store::MemoryStore};
use phoenix_homeserver::{Homeserver, OsEntropy, SystemClock};
use serde_json::json;
use tokio::{task::AbortHandle, time::timeout};

use super::{Authority, Running, alpha};
use crate::{HttpTransport, ServerLimits, router};

#[tokio::test]
async fn t23_a_peer_is_reached_at_its_second_address_and_blocked_there_too_at_a_new_host() {
    // given a peer whose host has two addresses, of which the first does not answer
    let scene = Scene::new().await;
    let group = scene.group().await;

    // when its users are written to, then that arrives
    scene.ben.send(&group, "by the second address").await.unwrap();
    scene.is_heard("by the second address").await;

    // and when the second address is blocked as well, and the domain tells of a new host, then what waits goes there
    let Scene { first, website, .. } = &scene;
    let running = first.lock().unwrap().take().unwrap();
    running.stop().await;
    *website.lock().unwrap() = "new.alpha.test";
    scene.ben.send(&group, "by the new host").await.unwrap();
    for transport in &scene.transports {
        // As if two minutes had passed: a domain is not asked anew with every call that fails.
        transport.age(&alpha(), Duration::from_secs(120));
    }
    scene.is_heard("by the new host").await;
}

/// A user of alpha.test and one of beta.test, and what leads from one homeserver to the other.
struct Scene {
    anna: Client,
    ben: Client,
    /// The host that alpha.test tells of.
    website: Arc<Mutex<&'static str>>,
    /// What listens at the second address of its first host.
    first: Mutex<Option<Running>>,
    /// Those of all who call alpha.test.
    transports: Vec<HttpTransport>,
    working: Vec<AbortHandle>,
    _others: [Running; 3],
}

impl Scene {
    async fn new() -> Self {
        let authority = Authority::new();
        let website = Arc::new(Mutex::new("first.alpha.test"));
        let told = website.clone();
        let document = async move || {
            let host = *told.lock().unwrap();
            json!({ "domain": "alpha.test", "versions": [1], "as": host, "ds": host, "qs": host, "max_age_s": 86_400 })
                .to_string()
        };
        let website_at =
            Running::start(&authority, Router::new().route("/.well-known/phoenix", get(document)));
        let (first_at, new_at, beta_at) = (listener(), listener(), listener());
        let silent = listener().local_addr().unwrap();
        let address = |listener: &TcpListener| listener.local_addr().unwrap();
        let way = HttpTransport::builder()
            .authorities(authority.pem())
            .resolve(alpha(), website_at.address())
            .resolve("first.alpha.test".parse().unwrap(), silent)
            .resolve("first.alpha.test".parse().unwrap(), address(&first_at))
            .resolve("new.alpha.test".parse().unwrap(), address(&new_at))
            .resolve(beta(), address(&beta_at));
        let [to_alpha, to_beta, of_anna, of_ben] = [(); 4].map(|()| way.clone().build().unwrap());

        let alpha_home = homeserver(alpha(), &to_beta).await;
        let beta_home = homeserver(beta(), &to_alpha).await;
        let start = |listener, name, home: &Homeserver| {
            let tls = authority.server_of(name, 4096);
            Running::start_on(listener, tls, router(home.clone()), ServerLimits::default())
        };
        let first = start(first_at, "alpha.test", &alpha_home);
        let others =
            [website_at, start(new_at, "alpha.test", &alpha_home), start(beta_at, "beta.test", &beta_home)];
        let working = [alpha_home, beta_home].map(|home| tokio::spawn(home.run()).abort_handle()).to_vec();
        let anna = register(alpha(), of_anna.clone()).await;
        let ben = register(beta(), of_ben.clone()).await;
        let transports = vec![to_alpha, to_beta, of_anna, of_ben];
        let first = Mutex::new(Some(first));
        Self { anna, ben, website, first, transports, working, _others: others }
    }

    /// A group of both, which is at beta.test.
    async fn group(&self) -> GroupId {
        let making = async {
            self.ben.connect(self.anna.user()).await.unwrap();
            while !self.ben.connections().await.contains(self.anna.user()) {
                for event in self.anna.sync(A_SECOND).await.unwrap() {
                    if let Event::Offer { offer, .. } = event {
                        self.anna.accept(offer).await.unwrap();
                    }
                }
                self.ben.sync(A_SECOND).await.unwrap();
            }
            let group = self.ben.create_group().await.unwrap();
            self.ben.invite(&group, &[self.anna.user().clone()]).await.unwrap();
            while !self.anna.groups().await.contains(&group) {
                self.anna.sync(A_SECOND).await.unwrap();
            }
            group
        };
        timeout(PATIENCE, making).await.unwrap()
    }

    /// Waits until anna reads this.
    async fn is_heard(&self, text: &str) {
        let heard = async {
            loop {
                let events = self.anna.sync(A_SECOND).await.unwrap_or_default();
                let is_it = |event: &Event| matches!(event, Event::Message(it) if it.text.as_ref() == text.as_bytes());
                if events.iter().any(is_it) {
                    return;
                }
            }
        };
        timeout(PATIENCE, heard).await.unwrap();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.working.iter().for_each(AbortHandle::abort);
    }
}

async fn homeserver(domain: Fqdn, transport: &HttpTransport) -> Homeserver {
    let builder = Homeserver::builder(domain).store(MemoryStore::new());
    builder.transport(transport.clone()).compute(Inline).build().await.unwrap()
}

async fn register(domain: Fqdn, transport: HttpTransport) -> Client {
    let settings = Settings { stretch: Stretch::least(), ..Settings::new(domain, "a password") };
    let ports = ClientPorts {
        transport: Arc::new(transport),
        witness: None,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    };
    let client = Client::register(settings, ports).await.unwrap();
    client.set_up().await.unwrap();
    client
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn beta() -> Fqdn {
    "beta.test".parse().unwrap()
}

const A_SECOND: Duration = Duration::from_secs(1);
/// The mailbox is tried again after pauses that grow to some seconds.
const PATIENCE: Duration = Duration::from_secs(120);
