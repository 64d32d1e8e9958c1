//! A world that is ready for something to happen in it: built once, cloned for each run.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use phoenix_client::{BatchSizes, Client, ClientError, Habits, Settings, Stretch};
use phoenix_core::{
    Fqdn, GroupId, Timestamp, UserId, crypto::AtRestKey, port::Clock, store::MemoryStore, time::DAY,
    token::Class, wire::Secret,
};

use super::{
    cast::{Actor, Cast, domain},
    clock::VirtualClock,
    executor::{Executor, Stuck},
    ground::Ground,
    ledger::Names,
    planted::Planted,
    recorder::Recorder,
    tape::Tape,
};

/// How large a town is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Homeservers, 1 to 5.
    pub homes: usize,
    /// Clients, dealt out to the homeservers in turn.
    pub clients: usize,
    /// Groups; each has another client for its admin, and some of the others for members.
    pub groups: usize,
    /// As many of the admins' users have another client beside it, which is wherever they are.
    pub further: usize,
    /// Other clients, that are in no group and whose users may go for good.
    pub guests: usize,
}

impl Size {
    /// Of the runs that `tests/world.rs` plays.
    #[must_use]
    pub const fn ordinary() -> Self {
        Self { homes: 3, clients: 6, groups: 3, further: 1, guests: 2 }
    }

    /// Of the runs that `tests/federation.rs` plays.
    #[must_use]
    pub const fn federation() -> Self {
        Self { homes: 5, clients: 5, groups: 2, further: 0, guests: 0 }
    }
}

/// Homeservers with registered clients, that have tokens, are connected, and are members of groups.
#[derive(Debug)]
pub struct Town {
    at: Timestamp,
    disks: BTreeMap<Fqdn, MemoryStore>,
    residents: Vec<Resident>,
    /// As many of the residents, the last ones, are guests.
    guests: usize,
    groups: Vec<GroupId>,
    names: BTreeMap<String, Names>,
}

#[derive(Debug)]
struct Resident {
    name: String,
    sealed: Bytes,
    is_further: bool,
}

/// Why a town could not be built.
#[derive(Debug, thiserror::Error)]
pub enum TownError {
    /// A client could not do its part.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// Something was waited for that never comes.
    #[error("the world stood still")]
    Stuck,
    /// A world has 1 to 5 homeservers.
    #[error("no such number of homeservers")]
    Homes,
}

/// A clone of a town, or a world without clients: everything that a run needs.
pub(crate) struct Scene {
    pub(crate) executor: Executor,
    pub(crate) ground: Arc<Ground>,
}

impl Scene {
    /// A world at a time, with these disks.
    pub(crate) fn new(
        at: Timestamp,
        disks: impl IntoIterator<Item = (Fqdn, MemoryStore)>,
        tape: Tape,
        recorder: Option<Recorder>,
        planted: Option<Planted>,
    ) -> Self {
        let clock = VirtualClock::starting_at(at);
        let executor = Executor::new(clock.clone(), tape.clone());
        let ground = Ground::new(clock, tape, executor.spawner(), recorder, planted);
        for (domain, disk) in disks {
            ground.settle(domain, disk);
        }
        Self { executor, ground }
    }

    /// A world of so many homeservers with empty disks.
    pub(crate) fn empty(homes: usize, tape: Tape, recorder: Option<Recorder>) -> Result<Self, TownError> {
        let domains: Option<Vec<Fqdn>> = (0..homes).map(domain).collect();
        let disks = domains.ok_or(TownError::Homes)?.into_iter().map(|domain| (domain, MemoryStore::new()));
        Ok(Self::new(beginning(), disks, tape, recorder, None))
    }
}

impl Town {
    /// Builds a town.
    ///
    /// # Errors
    /// [`TownError`].
    pub fn build(size: Size) -> Result<Self, TownError> {
        Self::build_with(size, &Tape::of_seed(0))
    }

    /// Builds a town with the chances of a tape.
    ///
    /// # Errors
    /// [`TownError`].
    pub fn build_with(size: Size, tape: &Tape) -> Result<Self, TownError> {
        let mut scene = Scene::empty(size.homes, tape.clone(), None)?;
        let ground = scene.ground.clone();
        let built = scene.executor.run(async move {
            let cast = found(ground, size).await?;
            let mut residents = Vec::new();
            for actor in cast.everyone() {
                let sealed = actor.client.export(&key()).await;
                let (name, is_further) = (actor.name.clone(), actor.is_further);
                residents.push(Resident { name, sealed, is_further });
            }
            let (at, disks) = (cast.ground.clock.now(), cast.ground.disks());
            let names = cast.ground.ledger.names();
            Ok::<_, ClientError>(Self {
                at,
                disks,
                residents,
                guests: size.guests,
                groups: cast.groups(),
                names,
            })
        });
        scene.ground.end_all();
        Ok(built.map_err(|Stuck| TownError::Stuck)??)
    }

    /// What its homeservers hold.
    #[must_use]
    pub const fn disks(&self) -> &BTreeMap<Fqdn, MemoryStore> {
        &self.disks
    }

    /// Under which names its clients act, by the order in which they came.
    #[must_use]
    pub fn names(&self) -> Vec<&Names> {
        self.residents.iter().filter_map(|resident| self.names.get(&resident.name)).collect()
    }

    /// A world of its own that is as the town was when it was built.
    pub(crate) fn scene(&self, tape: Tape, planted: Option<Planted>) -> Scene {
        let disks = self.disks.iter().map(|(domain, disk)| (domain.clone(), disk.fork()));
        Scene::new(self.at, disks, tape, None, planted)
    }

    /// Starts the homeservers and clients of a clone.
    pub(crate) async fn wake(&self, ground: &Arc<Ground>) -> Result<Cast, ClientError> {
        for domain in ground.domains() {
            ground.start(&domain).await;
        }
        let mut actors = Vec::new();
        for Resident { name, sealed, is_further } in &self.residents {
            let client = Client::import(sealed, &key(), Actor::ports(ground, name), habits(), None)?;
            let actor = match is_further {
                true => Actor::further(ground, name, client),
                false => Actor::new(ground, name, client),
            };
            for group in &self.groups {
                actor.settle(group).await;
            }
            match is_further {
                true => ground.oracle.settle_further(&actor.party()),
                false => ground.oracle.settle(&actor.party(), &password(name)),
            }
            actors.push(Arc::new(actor));
        }
        for group in &self.groups {
            if let Some(actor) = actors.iter().find(|actor| actor.is_member(group)) {
                ground.oracle.learn(group, actor.view(group).await.as_ref());
            }
        }
        let guests = actors.split_off(actors.len().saturating_sub(self.guests));
        Ok(Cast::new(ground, (actors, guests), self.groups.clone()))
    }
}

/// Registers the clients, connects them, and makes their groups.
async fn found(ground: Arc<Ground>, size: Size) -> Result<Cast, ClientError> {
    let domains = ground.domains();
    for domain in &domains {
        ground.start(domain).await;
    }
    let mut actors = Vec::new();
    for (number, domain) in (0..size.clients).zip(domains.iter().cycle()) {
        let letter = domain.as_str().chars().next().unwrap_or('x');
        let name = format!("{letter}{}", number / size.homes.max(1) + 1);
        let actor = register(&ground, &name, domain).await?;
        for other in &domains {
            for class in [Class::Standard, Class::Standard] {
                actor.client.fetch_tokens(other, class).await?;
            }
        }
        actors.push(Arc::new(actor));
    }
    let mut guests = Vec::new();
    for (number, domain) in (0..size.guests).zip(domains.iter().cycle()) {
        let guest = register(&ground, &format!("guest {}", number + 1), domain).await?;
        guests.push(Arc::new(guest));
    }
    let admins: Vec<_> = actors.iter().take(size.groups).cloned().collect();
    for (number, admin) in admins.iter().enumerate() {
        for (place, other) in actors.iter().enumerate() {
            // Two admins are connected already when the later one's turn comes.
            if place > number {
                connect(admin, other).await?;
            }
        }
    }
    // Who makes a group is connected with everybody, and so are its further clients.
    for main in admins.iter().take(size.further) {
        actors.push(Arc::new(further(main).await?));
    }
    let cast = Cast::new(&ground, (actors, guests), Vec::new());
    while !cast.everyone_reads().await {}
    for (number, admin) in admins.iter().enumerate() {
        let group = admin.client.create_group().await?;
        let others = cast.first_clients().enumerate();
        // Of each group somebody else is left out; of the admin itself, there may be another client to be added.
        let is_invited = |place: usize, actor: &Actor| {
            (place + number) % size.clients != 1 && (place != number || !cast.is_only_client(actor))
        };
        let members = others.filter(|(place, actor)| is_invited(*place, actor));
        let members: Vec<UserId> = members.map(|(_, actor)| actor.user.clone()).collect();
        admin.client.invite(&group, &members).await?;
        if !cast.is_only_client(admin) {
            // So is each of its clients, and somebody else.
            let others = members.last().filter(|user| **user != admin.user);
            let admins: Vec<UserId> = [&admin.user].into_iter().chain(others).cloned().collect();
            admin.client.promote(&group, &admins).await?;
        }
        cast.add_group(&group);
    }
    while !cast.everyone_reads().await {}
    Ok(cast)
}

/// Registers a client, with all that it needs to be reached.
pub(crate) async fn register(ground: &Arc<Ground>, name: &str, domain: &Fqdn) -> Result<Actor, ClientError> {
    let settings = Settings {
        stretch: Stretch::least(),
        habits: habits(),
        ..Settings::new(domain.clone(), password(name))
    };
    let client = Client::register(settings, Actor::ports(ground, name)).await?;
    client.set_up().await?;
    Ok(Actor::new(ground, name, client))
}

/// Another client of a user, that knows what the user's first one knows.
async fn further(main: &Actor) -> Result<Actor, ClientError> {
    let name = format!("{}-further", main.name);
    let settings = Settings {
        user: Some(main.user.uuid),
        stretch: Stretch::least(),
        habits: habits(),
        ..Settings::new(main.user.domain.clone(), password(&main.name))
    };
    let client = Client::log_in(settings, Actor::ports(&main.ground, &name)).await?;
    client.set_up().await?;
    main.client.provision(client.id().client, &client.fingerprint().await).await?;
    client.sync(std::time::Duration::ZERO).await?;
    client.accept_provision(main.client.id().client, &main.client.fingerprint().await).await?;
    Ok(Actor::further(&main.ground, &name, client))
}

/// The password of a client.
pub(crate) fn password(name: &str) -> String {
    format!("the password of {name}")
}

/// Connects two clients.
pub(crate) async fn connect(one: &Actor, other: &Actor) -> Result<(), ClientError> {
    one.client.connect(&other.user).await?;
    for event in other.client.sync(std::time::Duration::ZERO).await? {
        if let phoenix_client::Event::Offer { offer, .. } = event {
            other.client.accept(offer).await?;
        }
    }
    // The answer comes on its own way, and may take a moment.
    for _ in 0..PATIENCE {
        one.read().await?;
        if one.client.connections().await.contains(&other.user) {
            return Ok(());
        }
        one.pause(100).await;
    }
    Err(ClientError::State("a connection does not come to stand"))
}

/// How clients of a world behave: small batches, so that runs see many of them.
pub(crate) fn habits() -> Habits {
    Habits {
        batch: BatchSizes { standard: 20, home: 4, contact: 10, alias: 1 },
        add_packages: 4,
        connection_packages: 2,
        ..Habits::default()
    }
}

/// Sixty days ago, at midnight: MLS checks lifetimes by the system's clock, and a run must not outlive them.
fn beginning() -> Timestamp {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    Timestamp::from_secs((now / DAY).saturating_sub(DAYS_BACK).saturating_mul(DAY))
}

fn key() -> AtRestKey {
    AtRestKey::new(Secret::new([7; 32]))
}

const DAYS_BACK: u64 = 60;
/// How often a client looks for an answer.
const PATIENCE: usize = 100;
