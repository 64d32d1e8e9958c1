//! What a world stands on: time, chance, the network, and the processes of its homeservers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use phoenix_core::{
    Fqdn,
    federation::{DomainPattern, Standing},
    port::Inline,
    store::MemoryStore,
};
use phoenix_homeserver::{BuildError, Homeserver};

use super::{
    clock::VirtualClock,
    disk::{Disk, with_groups_of, without_spent},
    executor::{Process, Spawner},
    federation::Watch,
    journal::Journal,
    ledger::Ledger,
    link::Link,
    log::Log,
    oracle::Oracle,
    planted::Planted,
    recorder::Recorder,
    settings,
    tape::Tape,
    weather::{Fault, Weather},
};

/// What everything in a world shares.
pub(crate) struct Ground {
    pub(crate) clock: VirtualClock,
    pub(crate) tape: Tape,
    pub(crate) spawner: Spawner,
    pub(crate) weather: Weather,
    pub(crate) ledger: Ledger,
    pub(crate) oracle: Oracle,
    pub(crate) log: Log,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) planted: Option<Planted>,
    pub(crate) journal: Journal,
    /// What homeservers say to each other.
    pub(crate) watch: Watch,
    /// Whether homeservers wait as long as in earnest before they try again.
    is_patient: AtomicBool,
    /// The process of the network itself: what is under way outlives those who sent it.
    pub(crate) air: Process,
    nodes: Mutex<BTreeMap<Fqdn, Node>>,
}

/// A homeserver's process, and its disk.
struct Node {
    store: MemoryStore,
    /// What was on it when the process started.
    at_start: Option<MemoryStore>,
    /// Its replicas, while they run; all of them work on the one store, and end together.
    homes: Vec<Homeserver>,
    replicas: usize,
    process: Process,
    /// Counts the starts.
    life: u64,
    /// Calls to the store until the process ends, and how long it is away then, in milliseconds.
    fuse: Option<(u32, u64)>,
}

/// One life of a homeserver's process.
struct Life {
    store: MemoryStore,
    process: Process,
    number: u64,
    replicas: usize,
}

impl Ground {
    /// A ground without homeservers.
    pub(crate) fn new(
        clock: VirtualClock,
        tape: Tape,
        spawner: Spawner,
        recorder: Option<Recorder>,
        planted: Option<Planted>,
    ) -> Arc<Self> {
        let air = spawner.process();
        let weather = Weather::calm(tape.clone());
        let log = Log::new(clock.clone());
        let (ledger, nodes, journal) = (Ledger::default(), Mutex::default(), Journal::default());
        let (watch, is_patient) = (Watch::default(), AtomicBool::default());
        let oracle = Oracle::new(planted);
        Arc::new(Self {
            clock,
            tape,
            spawner,
            weather,
            ledger,
            oracle,
            log,
            recorder,
            planted,
            journal,
            watch,
            is_patient,
            air,
            nodes,
        })
    }

    /// Puts a homeserver's disk into the world; it does not run yet.
    pub(crate) fn settle(&self, domain: Fqdn, store: MemoryStore) {
        let process = self.spawner.process();
        let (homes, at_start) = (Vec::new(), None);
        let node = Node { store, at_start, homes, replicas: 1, process, life: 0, fuse: None };
        self.nodes().insert(domain, node);
    }

    /// From their next starts on, homeservers wait as long as in earnest before they try again.
    pub(crate) fn be_patient(&self) {
        self.is_patient.store(true, Ordering::Relaxed);
    }

    /// From its next start on, a homeserver has so many replicas on its one store.
    pub(crate) fn replicate(&self, domain: &Fqdn, replicas: usize) {
        if let Some(node) = self.nodes().get_mut(domain) {
            node.replicas = replicas;
        }
    }

    /// A homeserver's operator says to each of its replicas how it stands to another domain from now on; where nothing is
    /// given, that there is no rule any more.
    pub(crate) async fn rule(&self, domain: &Fqdn, other: &Fqdn, standing: Option<Standing>) {
        let pattern = DomainPattern::Only(other.clone());
        let homes = self.nodes().get(domain).map(|node| node.homes.clone()).unwrap_or_default();
        for home in homes {
            let admin = home.admin();
            let changed = match standing {
                Some(standing) => admin.set_rule(pattern.clone(), standing).await,
                None => admin.remove_rule(&pattern).await,
            };
            if let Err(error) = changed {
                self.ledger.violated(format!("{domain} does not take its operator's rule: {error}"));
            }
        }
    }

    /// Starts a homeserver from its disk.
    pub(crate) async fn start(self: &Arc<Self>, domain: &Fqdn) {
        while let Some(life) = self.begin_life(domain).await {
            let mut homes = Vec::new();
            for _ in 0..life.replicas {
                match self.build(domain, &life).await {
                    Ok(home) => homes.push(home),
                    Err(error) => self.log.line(format!("{domain} does not start: {error}")),
                }
            }
            if homes.len() < life.replicas {
                self.clock.sleep_ms(RESTART_MS).await;
                continue;
            }
            self.log.line(format!("{domain} runs, {} of it", homes.len()));
            for home in &homes {
                self.spawner.spawn(life.process, home.clone().run());
            }
            if let Some(node) = self.nodes().get_mut(domain) {
                node.homes = homes;
            }
            return;
        }
    }

    async fn build(self: &Arc<Self>, domain: &Fqdn, life: &Life) -> Result<Homeserver, BuildError> {
        let disk = Disk::of(life.store.clone(), self, domain, life.number);
        let home = Homeserver::builder(domain.clone())
            .store(disk)
            .transport(Link::of_home(self, domain))
            .clock(self.clock.clone())
            .entropy(self.tape.entropy())
            .compute(Inline)
            .limits(settings::limits())
            .auth_settings(settings::auth())
            .queue_settings(settings::queue_of(self.is_patient.load(Ordering::Relaxed)));
        home.build().await
    }

    /// The next life of a homeserver: what it finds is what was committed.
    async fn begin_life(&self, domain: &Fqdn) -> Option<Life> {
        let process = self.spawner.process();
        let (mut store, at_start) = {
            let nodes = self.nodes();
            let node = nodes.get(domain)?;
            (node.store.fork(), node.at_start.clone())
        };
        if let (Some(before), Some(planted)) = (at_start, self.planted) {
            store = match planted {
                Planted::SpentForgotten => without_spent(&store).await,
                Planted::GroupsGoBack => with_groups_of(&store, &before).await,
                _ => store,
            };
        }
        let mut nodes = self.nodes();
        let node = nodes.get_mut(domain)?;
        node.at_start = Some(store.fork());
        node.store = store;
        node.life = node.life.saturating_add(1);
        node.process = process;
        node.fuse = None;
        Some(Life { store: node.store.clone(), process, number: node.life, replicas: node.replicas })
    }

    /// Ends a homeserver's process, and starts it again after a time.
    fn crash(self: &Arc<Self>, domain: &Fqdn, away_ms: u64, fault: Fault) {
        let Some(process) = self.end(domain) else { return };
        self.spawner.kill(process);
        self.weather.count(fault);
        self.log.line(format!("{domain} ends, for {away_ms} ms"));
        let (ground, domain) = (self.clone(), domain.clone());
        self.spawner.spawn(self.air, async move {
            ground.clock.sleep_ms(away_ms).await;
            ground.start(&domain).await;
        });
    }

    /// Ends a homeserver's process, and starts it again at once.
    pub(crate) async fn restart(self: &Arc<Self>, domain: &Fqdn) {
        if self.stop(domain) {
            self.start(domain).await;
        }
    }

    /// Ends a homeserver's process, until it is started again. False where it does not run.
    pub(crate) fn stop(&self, domain: &Fqdn) -> bool {
        let ended = self.end(domain);
        ended.inspect(|process| self.spawner.kill(*process)).is_some()
    }

    fn end(&self, domain: &Fqdn) -> Option<Process> {
        let mut nodes = self.nodes();
        let node = nodes.get_mut(domain)?;
        let homes = std::mem::take(&mut node.homes);
        let process = node.process;
        node.fuse = None;
        drop(nodes);
        (!homes.is_empty()).then_some(process)
    }

    /// Nobody ends any more who was to end at one of its next calls.
    pub(crate) fn put_out(&self) {
        self.nodes().values_mut().for_each(|node| node.fuse = None);
    }

    /// Lets a homeserver's process end after so many further calls to its store.
    pub(crate) fn light(&self, domain: &Fqdn, calls: u32, away_ms: u64) {
        if let Some(node) = self.nodes().get_mut(domain) {
            node.fuse = Some((calls, away_ms));
        }
    }

    /// Lets a homeserver's process end after so many further polls of its tasks, wherever they are then.
    pub(crate) fn light_polls(self: &Arc<Self>, domain: &Fqdn, polls: u32, away_ms: u64) {
        let Some(process) = self.nodes().get(domain).map(|node| node.process) else { return };
        let (ground, domain) = (Arc::downgrade(self), domain.clone());
        self.spawner.light(process, polls, move || {
            if let Some(ground) = ground.upgrade() {
                ground.crash(&domain, away_ms, Fault::Killed);
            }
        });
    }

    /// Whether this life of a process goes on after the call to its store that it is in.
    pub(crate) fn outlives(self: &Arc<Self>, domain: &Fqdn, life: u64) -> bool {
        let away_ms = {
            let mut nodes = self.nodes();
            let Some(node) = nodes.get_mut(domain).filter(|node| node.life == life) else { return false };
            match &mut node.fuse {
                Some((calls @ 1.., _)) => {
                    *calls = calls.saturating_sub(1);
                    return true;
                }
                Some((0, away_ms)) => *away_ms,
                None => return true,
            }
        };
        self.crash(domain, away_ms, Fault::Crashed);
        false
    }

    /// The homeserver of a domain and its process, while it runs; one of its replicas.
    pub(crate) fn home(&self, domain: &Fqdn) -> Option<(Homeserver, Process)> {
        let nodes = self.nodes();
        let node = nodes.get(domain)?;
        let home = match node.homes.as_slice() {
            [home] => home,
            homes => self.tape.pick(homes)?,
        };
        Some((home.clone(), node.process))
    }

    /// The domains of the world.
    pub(crate) fn domains(&self) -> Vec<Fqdn> {
        self.nodes().keys().cloned().collect()
    }

    /// Copies of all disks.
    pub(crate) fn disks(&self) -> BTreeMap<Fqdn, MemoryStore> {
        self.nodes().iter().map(|(domain, node)| (domain.clone(), node.store.fork())).collect()
    }

    /// Ends all processes.
    pub(crate) fn end_all(&self) {
        let ended = std::mem::take(&mut *self.nodes());
        for node in ended.values() {
            self.spawner.kill(node.process);
        }
        self.spawner.kill(self.air);
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<Fqdn, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a process that could not start waits before it tries again.
const RESTART_MS: u64 = 500;
