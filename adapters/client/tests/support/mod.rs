//! Two homeservers in one process, on a network in memory.

pub mod evil;

use std::{
    collections::{BTreeMap, HashSet},
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
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
    ErrorReply, Fqdn, GroupId, Origin, Timestamp, UserId,
    api::ServiceName,
    crypto::Chance,
    port::{Clock, Outgoing, Transport, TransportError},
    store::MemoryStore,
    time::DAY,
    wire::Call,
};
use phoenix_homeserver::{Admin, Builder, Homeserver, OsEntropy, SystemClock};

/// Carries calls to the homeservers that are in it; can lose the answers of chosen endpoints, once each.
#[derive(Clone, Default)]
pub struct Net {
    homes: Arc<Mutex<BTreeMap<Fqdn, Homeserver>>>,
    lossy: Arc<Mutex<HashSet<&'static str>>>,
    cut: Arc<Mutex<HashSet<&'static str>>>,
    severed: Arc<Mutex<HashSet<(Fqdn, &'static str)>>>,
    doubled: Arc<Mutex<HashSet<&'static str>>>,
    luck: Arc<Mutex<Option<Luck>>>,
    answers: Arc<Mutex<BTreeMap<&'static str, Box<Answer>>>>,
}

/// Answers a call in a homeserver's place.
type Answer = dyn Fn(&Call) -> Bytes + Send;

/// Loses one message of `of`, on its way there or back, as a seed says.
struct Luck {
    chance: Chance,
    of: u8,
}

impl Net {
    /// Puts a homeserver in it.
    pub fn add(&self, home: Homeserver) {
        self.homes.lock().expect("no panic before").insert(home.domain().clone(), home);
    }

    /// Takes a homeserver out of it: nobody reaches it any more.
    pub fn take_away(&self, domain: &str) -> Homeserver {
        let domain: Fqdn = domain.parse().expect("domain");
        self.homes.lock().expect("no panic before").remove(&domain).expect("there")
    }

    /// Loses the answer of the next call to an endpoint, after it was carried out.
    pub fn lose_answer(&self, name: &'static str) {
        self.lossy.lock().expect("no panic before").insert(name);
    }

    /// Loses all answers of an endpoint, or none any more.
    pub fn cut(&self, name: &'static str, is_cut: bool) {
        let mut cut = self.cut.lock().expect("no panic before");
        let _ = if is_cut { cut.insert(name) } else { cut.remove(name) };
    }

    /// Brings no call to an endpoint of one homeserver any more, or all of them again.
    pub fn sever(&self, domain: &str, name: &'static str, is_severed: bool) {
        let way = (domain.parse().expect("domain"), name);
        let mut severed = self.severed.lock().expect("no panic before");
        let _ = if is_severed { severed.insert(way) } else { severed.remove(&way) };
    }

    /// Brings the next call to an endpoint twice; the second is answered.
    pub fn double(&self, name: &'static str) {
        self.doubled.lock().expect("no panic before").insert(name);
    }

    /// From now on loses one message of so many.
    pub fn lose(&self, seed: u8, of: u8) {
        *self.luck.lock().expect("no panic before") =
            Some(Luck { chance: Chance::from_seed([seed; 32]), of });
    }

    /// Answers the calls to an endpoint in the homeservers' place.
    pub fn answer(&self, name: &'static str, answer: impl Fn(&Call) -> Bytes + Send + 'static) {
        self.answers.lock().expect("no panic before").insert(name, Box::new(answer));
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
        let is_severed = self.severed.lock().expect("no panic before").contains(&(to.clone(), name));
        if is_severed || self.is_lost() {
            return Err(TransportError::Unreachable);
        }
        if let Some(answer) = self.answers.lock().expect("no panic before").get(name) {
            return Ok(Ok(answer(&call)));
        }
        if self.doubled.lock().expect("no panic before").remove(name) {
            let _ = home.call(service, name, call.clone(), Origin::default()).await;
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

/// Changes what homeservers answer and whom they send it to: what whoever runs one can do. Gets the endpoint's name.
pub type Lie = dyn Fn(&Fqdn, &str, Bytes) -> Bytes + Send + Sync;

/// A way to homeservers that lie.
#[derive(Clone)]
pub struct Hostile {
    pub net: Net,
    pub lie: Arc<Lie>,
}

#[async_trait]
impl Transport for Hostile {
    async fn send(&self, to: &Fqdn, outgoing: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        let name = outgoing.name;
        let answer = self.net.send(to, outgoing).await?;
        Ok(answer.map(|reply| (self.lie)(to, name, reply)))
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.net.fetch(from, service).await
    }
}

/// A lie about the answers of one endpoint.
pub fn lie_about(
    endpoint: &'static str,
    change: impl Fn(&[u8]) -> Bytes + Send + Sync + 'static,
) -> impl Fn(&Fqdn, &str, Bytes) -> Bytes + Clone + Send + Sync + 'static {
    let change = Arc::new(change);
    move |_, name, reply| if name == endpoint { change(&reply) } else { reply }
}

/// The system's clock, set forward.
#[derive(Clone, Default)]
pub struct Later(Arc<AtomicU64>);

impl Later {
    /// Sets it forward by days, and lets everybody notice.
    pub async fn forward(&self, days: u64) {
        self.pass(days * DAY).await;
    }

    /// Sets it forward by seconds, and lets everybody notice. Sleeping on it takes as long as it says.
    pub async fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
        self.sleep_until(self.now().plus_millis(10 * STEP_MS)).await;
    }
}

#[async_trait]
impl Clock for Later {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_secs(self.0.load(Ordering::SeqCst))
    }

    async fn sleep_until(&self, until: Timestamp) {
        while self.now() < until {
            let left_ms = until.millis_since(self.now());
            SystemClock.sleep_until(SystemClock.now().plus_millis(left_ms.min(STEP_MS))).await;
        }
    }
}

/// How often sleepers look whether the clock was set forward.
const STEP_MS: u64 = 20;

/// Plays a story on homeservers of these domains.
pub fn play<F: Future<Output = ()>>(domains: &[&str], story: impl FnOnce(World) -> F) {
    play_with(domains, |builder| builder, story);
}

/// Plays a story on homeservers of these domains, set up in some way.
pub fn play_with<F: Future<Output = ()>>(
    domains: &[&str],
    set_up: impl Fn(Builder) -> Builder,
    story: impl FnOnce(World) -> F,
) {
    block_on(async {
        let (net, clock) = (Net::default(), Later::default());
        let mut runs = Vec::new();
        for domain in domains {
            let domain: Fqdn = domain.parse().expect("domain");
            let home = Homeserver::builder(domain.clone()).store(MemoryStore::new()).transport(net.clone());
            let home = set_up(home.clock(clock.clone())).build().await.expect("built");
            net.homes.lock().expect("no panic before").insert(domain, home.clone());
            runs.push(Box::pin(home.run()));
        }
        match select(join_all(runs), Box::pin(story(World { net, clock }))).await {
            Either::Left(_) => panic!("a homeserver stopped"),
            Either::Right(((), _)) => {}
        }
    });
}

/// Where a story takes place.
pub struct World {
    pub net: Net,
    pub clock: Later,
}

impl World {
    pub fn ports(&self) -> ClientPorts {
        self.ports_over(self.net.clone())
    }

    pub fn ports_over(&self, transport: impl Transport) -> ClientPorts {
        let (transport, clock) = (Arc::new(transport), Arc::new(self.clock.clone()));
        ClientPorts { transport, witness: None, clock, entropy: Arc::new(OsEntropy) }
    }

    /// Ports of a client whose homeservers lie.
    pub fn lied_to(&self, lie: impl Fn(&Fqdn, &str, Bytes) -> Bytes + Send + Sync + 'static) -> ClientPorts {
        self.ports_over(Hostile { net: self.net.clone(), lie: Arc::new(lie) })
    }

    pub fn admin(&self, domain: &str) -> Admin {
        self.net.home(&domain.parse().expect("domain")).expect("there").admin()
    }

    /// A further client of a user.
    pub async fn another(&self, client: &Client) -> Client {
        let another = Client::log_in(again(client), self.ports()).await.expect("logged in");
        another.set_up().await.expect("set up");
        another
    }

    /// A user who is ready to be reached.
    pub async fn user(&self, domain: &str) -> Client {
        self.user_with(domain, self.ports()).await
    }

    /// The same, with ports of its own.
    pub async fn user_with(&self, domain: &str, ports: ClientPorts) -> Client {
        let client = Client::register(settings(domain), ports).await.expect("registered");
        client.set_up().await.expect("set up");
        client
    }
}

pub fn settings(domain: &str) -> Settings {
    let mut settings = Settings::new(domain.parse().expect("domain"), "password");
    settings.stretch = Stretch::least();
    settings.habits.first_wait_ms = 5;
    settings.habits.patience_ms = 500;
    settings.habits.jitter_s = 0;
    settings.habits.add_packages = 5;
    settings.habits.connection_packages = 2;
    settings.habits.batch.standard = 20;
    settings
}

/// How to log in as the user of a client.
pub fn again(client: &Client) -> Settings {
    Settings { user: Some(client.user().uuid), ..settings(client.user().domain.as_str()) }
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

/// A group that one makes, and that another has joined.
pub async fn group_of(by: &Client, other: &Client) -> GroupId {
    let group = by.create_group().await.expect("created");
    by.invite(&group, &[other.user().clone()]).await.expect("invited");
    until(other, joined).await;
    group
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

/// Syncs until so many messages came, and says what they say.
pub async fn texts(client: &Client, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..20 {
        let synced = client.sync(Duration::from_secs(2)).await.expect("synced");
        texts.extend(synced.iter().filter_map(text));
        if texts.len() >= count {
            return texts;
        }
    }
    panic!("only {texts:?} came");
}
