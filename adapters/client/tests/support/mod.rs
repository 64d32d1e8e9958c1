//! Two homeservers in one process, on a network in memory.

use std::{
    collections::{BTreeMap, HashSet},
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    executor::block_on,
    future::{Either, join_all, select},
};
use phoenix_client::{Client, ClientPorts, Event, OfferId, Settings, Stretch};
use phoenix_core::{
    ErrorReply, Fqdn, Origin, UserId,
    api::ServiceName,
    crypto::Chance,
    port::{Outgoing, Transport, TransportError},
    store::MemoryStore,
};
use phoenix_homeserver::{Homeserver, OsEntropy, SystemClock};

/// Carries calls to the homeservers that are in it; can lose the answers of chosen endpoints, once each.
#[derive(Clone, Default)]
pub struct Net {
    homes: Arc<Mutex<BTreeMap<Fqdn, Homeserver>>>,
    lossy: Arc<Mutex<HashSet<&'static str>>>,
    cut: Arc<Mutex<HashSet<&'static str>>>,
    luck: Arc<Mutex<Option<Luck>>>,
}

/// Loses one message of `of`, on its way there or back, as a seed says.
struct Luck {
    chance: Chance,
    of: u8,
}

impl Net {
    /// Loses the answer of the next call to an endpoint, after it was carried out.
    pub fn lose_answer(&self, name: &'static str) {
        self.lossy.lock().expect("no panic before").insert(name);
    }

    /// Loses all answers of an endpoint, or none any more.
    pub fn cut(&self, name: &'static str, is_cut: bool) {
        let mut cut = self.cut.lock().expect("no panic before");
        let _ = if is_cut { cut.insert(name) } else { cut.remove(name) };
    }

    /// From now on loses one message of so many.
    pub fn lose(&self, seed: u8, of: u8) {
        *self.luck.lock().expect("no panic before") =
            Some(Luck { chance: Chance::from_seed([seed; 32]), of });
    }

    fn is_lost(&self) -> bool {
        let mut luck = self.luck.lock().expect("no panic before");
        luck.as_mut().is_some_and(|luck| luck.chance.bytes::<1>()[0] % luck.of == 0)
    }

    fn home(&self, domain: &Fqdn) -> Result<Homeserver, TransportError> {
        let homes = self.homes.lock().expect("no panic before");
        homes.get(domain).cloned().ok_or(TransportError::Unreachable)
    }
}

#[async_trait]
impl Transport for Net {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        let home = self.home(to)?;
        let Outgoing { service, name, call, .. } = outgoing;
        if self.is_lost() {
            return Err(TransportError::Unreachable);
        }
        let answer = home.call(service, name, call, Origin::default()).await;
        let is_cut = self.cut.lock().expect("no panic before").contains(name);
        if is_cut || self.is_lost() || self.lossy.lock().expect("no panic before").remove(name) {
            return Err(TransportError::Unreachable);
        }
        Ok(answer)
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.home(from)?.document(service).await.map_err(|_| TransportError::Unreachable)
    }
}

/// Plays a story on homeservers of these domains.
pub fn play<F: Future<Output = ()>>(domains: &[&str], story: impl FnOnce(World) -> F) {
    block_on(async {
        let net = Net::default();
        let mut runs = Vec::new();
        for domain in domains {
            let domain: Fqdn = domain.parse().expect("domain");
            let home = Homeserver::builder(domain.clone()).store(MemoryStore::new()).transport(net.clone());
            let home = home.build().await.expect("built");
            net.homes.lock().expect("no panic before").insert(domain, home.clone());
            runs.push(Box::pin(home.run()));
        }
        match select(join_all(runs), Box::pin(story(World { net }))).await {
            Either::Left(_) => panic!("a homeserver stopped"),
            Either::Right(((), _)) => {}
        }
    });
}

/// Where a story takes place.
pub struct World {
    pub net: Net,
}

impl World {
    pub fn ports(&self) -> ClientPorts {
        let transport = Arc::new(self.net.clone());
        ClientPorts { transport, clock: Arc::new(SystemClock), entropy: Arc::new(OsEntropy) }
    }

    /// A user who is ready to be reached.
    pub async fn user(&self, domain: &str) -> Client {
        let settings = Settings { stretch: Stretch::least(), ..settings(domain) };
        let client = Client::register(settings, self.ports()).await.expect("registered");
        client.set_up().await.expect("set up");
        client
    }
}

pub fn settings(domain: &str) -> Settings {
    let mut settings = Settings::new(domain.parse().expect("domain"), "password");
    settings.habits.first_wait_ms = 5;
    settings.habits.add_packages = 5;
    settings.habits.connection_packages = 2;
    settings.habits.batch.standard = 20;
    settings
}

/// Syncs until an event is one that is wanted.
pub async fn until<T>(client: &Client, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
    for _ in 0..20 {
        let synced = match client.sync(Duration::from_secs(2)).await {
            Err(error) if error.is_transient() => continue,
            synced => synced.expect("synced"),
        };
        for event in synced {
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }
    panic!("it did not happen");
}

/// Lets two users connect, the first of whom offers.
pub async fn befriend(one: &Client, other: &Client) {
    one.connect(other.user()).await.expect("offered");
    let (offer, from) = until(other, |event| match event {
        Event::Offer { offer, from, .. } => Some((*offer, from.clone())),
        _ => None,
    })
    .await;
    assert_eq!(from, *one.user());
    other.accept(offer).await.expect("accepted");
    let connected = until(one, connected).await;
    assert_eq!(connected, *other.user());
}

pub fn connected(event: &Event) -> Option<UserId> {
    match event {
        Event::Connected { user, .. } => Some(user.clone()),
        _ => None,
    }
}

pub fn joined(event: &Event) -> Option<UserId> {
    match event {
        Event::Joined { by, .. } => Some(by.clone()),
        _ => None,
    }
}

pub fn offer(event: &Event) -> Option<OfferId> {
    match event {
        Event::Offer { offer, .. } => Some(*offer),
        _ => None,
    }
}

pub fn text(event: &Event) -> Option<String> {
    match event {
        Event::Message(message) => Some(String::from_utf8_lossy(&message.text).into_owned()),
        _ => None,
    }
}
