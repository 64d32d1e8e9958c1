//! The clients of a world.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use phoenix_client::{Audience, Client, ClientError, ClientPorts, Event, Message};
use phoenix_core::{Fqdn, GroupId, UserId, port::Entropy};

use super::{
    diary::{Diaries, Diary},
    ground::Ground,
    keys::Overheard,
    link::Link,
};

/// All clients of a world, and what they have to do with each other.
pub(crate) struct Cast {
    pub(crate) ground: Arc<Ground>,
    pub(crate) actors: Vec<Arc<Actor>>,
    pub(crate) groups: Vec<GroupId>,
    /// Who made a group, and may add to it and remove from it.
    pub(crate) admins: BTreeMap<GroupId, UserId>,
}

/// One client.
pub(crate) struct Actor {
    pub(crate) name: String,
    pub(crate) user: UserId,
    pub(crate) client: Client,
    ground: Arc<Ground>,
    diary: Mutex<Diary>,
}

/// How a client sees a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) epoch: u64,
    pub(crate) members: BTreeSet<UserId>,
}

impl Cast {
    /// The number of the client that administers a group.
    pub(crate) fn admin_of(&self, group: &GroupId) -> Option<usize> {
        let admin = self.admins.get(group)?;
        self.actors.iter().position(|actor| actor.user == *admin)
    }

    /// Users who are in a group, as far as they know.
    pub(crate) fn present(&self, group: &GroupId) -> Vec<UserId> {
        self.actors.iter().filter(|actor| actor.is_member(group)).map(|actor| actor.user.clone()).collect()
    }

    /// Users who are not in a group, as far as they know.
    pub(crate) fn absent(&self, group: &GroupId) -> Vec<UserId> {
        self.actors.iter().filter(|actor| !actor.is_member(group)).map(|actor| actor.user.clone()).collect()
    }

    /// Everybody reads their queues. True where nobody was told anything new, and everybody could read.
    pub(crate) async fn everyone_reads(&self) -> bool {
        join_all(self.actors.iter().map(|actor| actor.read())).await.into_iter().all(|news| news == Ok(0))
    }

    /// How a client sees a group, in words.
    pub(crate) fn in_words(&self, view: Option<&View>) -> String {
        let Some(View { epoch, members }) = view else { return "nothing".to_owned() };
        let named = self.actors.iter().filter(|actor| members.contains(&actor.user));
        let names: Vec<&str> = named.map(|actor| actor.name.as_str()).collect();
        format!("epoch {epoch} of {}", names.join(", "))
    }

    /// What everybody was shown.
    pub(crate) fn diaries(&self) -> Diaries {
        self.actors.iter().map(|actor| (actor.name.clone(), actor.diary().clone())).collect()
    }
}

impl Actor {
    pub(crate) fn new(ground: &Arc<Ground>, name: &str, client: Client) -> Self {
        let (user, diary) = (client.user().clone(), Mutex::default());
        Self { name: name.to_owned(), user, client, ground: ground.clone(), diary }
    }

    /// The same, of whom another client goes on from an older state.
    pub(crate) fn going_on(&self, client: Client) -> Self {
        let diary = Mutex::new(self.diary().clone());
        Self { diary, ..Self::new(&self.ground, &self.name, client) }
    }

    /// The ports of a client of this name.
    pub(crate) fn ports(ground: &Arc<Ground>, name: &str) -> ClientPorts {
        let stream = ground.tape.entropy();
        let entropy: Arc<dyn Entropy> = match &ground.recorder {
            Some(recorder) => Arc::new(Overheard::new(stream, recorder.seeds())),
            None => Arc::new(stream),
        };
        ClientPorts {
            transport: Arc::new(Link::of_client(ground, name)),
            witness: None,
            clock: Arc::new(ground.clock.clone()),
            entropy,
        }
    }

    /// Whether the client is a member of a group, as far as it knows.
    pub(crate) fn is_member(&self, group: &GroupId) -> bool {
        let diary = self.diary();
        diary.groups.get(group).and_then(|chapter| chapter.stays.last()).is_some_and(|stay| !stay.over)
    }

    /// What the client was shown.
    pub(crate) fn diary(&self) -> MutexGuard<'_, Diary> {
        self.diary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the client is in a group from the beginning of the run on.
    pub(crate) async fn settle(&self, group: &GroupId) {
        if let Some(view) = self.view(group).await.filter(|view| view.members.contains(&self.user)) {
            self.diary().joined(group, view.epoch);
        }
    }

    pub(crate) async fn sync(&self) {
        let read = self.read().await;
        self.tell("reads", read.map(|_| ()));
    }

    pub(crate) async fn send(&self, group: &GroupId, text: &str) {
        self.ground.ledger.speaks(&self.name, text);
        let sent = self.client.send(group, text).await;
        self.tell(&format!("sends {text:?}"), sent.map(|_| ()));
    }

    pub(crate) async fn update(&self, group: &GroupId) {
        let updated = self.client.update(group).await;
        self.tell("updates", updated);
    }

    pub(crate) async fn add(&self, group: &GroupId, user: &UserId) {
        let added = self.client.invite(group, std::slice::from_ref(user)).await;
        self.tell(&format!("adds {}", user.uuid), added);
    }

    pub(crate) async fn remove(&self, group: &GroupId, user: &UserId) {
        let removed = self.client.remove(group, std::slice::from_ref(user)).await;
        self.tell(&format!("removes {}", user.uuid), removed);
    }

    /// How the client sees a group.
    pub(crate) async fn view(&self, group: &GroupId) -> Option<View> {
        let epoch = self.client.epoch(group).await.ok()?.0;
        let members = self.client.members(group).await.ok()?;
        Some(View { epoch, members: members.into_iter().filter_map(|member| member.user).collect() })
    }

    /// Waits.
    pub(crate) async fn pause(&self, millis: u64) {
        self.ground.clock.sleep_ms(millis).await;
    }

    /// Reads the client's queues, and says how many events there were.
    pub(crate) async fn read(&self) -> Result<usize, ClientError> {
        let events = self.client.sync(Duration::ZERO).await?;
        for event in &events {
            self.note(event).await;
        }
        Ok(events.len())
    }

    /// Notes what the client was told.
    pub(crate) async fn note(&self, event: &Event) {
        match event {
            Event::Message(message) => self.hear(message),
            Event::EpochChanged { group, epoch } => {
                let (epoch_number, group_name) = (epoch.0, self.short(group));
                self.ground.log.line(format!("{} is in epoch {epoch_number} of {group_name}", self.name));
                self.diary().entered(group, epoch.0);
            }
            Event::Joined { group, .. } => {
                let epoch = self.ground.ledger.joined_in(&self.name, group).unwrap_or(0);
                self.ground.log.line(format!("{} joined {} in epoch {epoch}", self.name, self.short(group)));
                self.diary().joined(group, epoch);
            }
            Event::Removed { group } => {
                self.ground.log.line(format!("{} was removed from {}", self.name, self.short(group)));
                self.diary().removed(group);
            }
            Event::Gap
            | Event::KeyChanged { .. }
            | Event::MemberKeyChanged { .. }
            | Event::OwnClient { .. }
            | Event::NoWitness { .. }
            | Event::Unverified { .. }
            | Event::RoleViolated { .. }
            | Event::GivenUp { .. }
            | Event::TokenKeysDiffer { .. }
            | Event::InvitationRefused => {
                self.ground.ledger.violated(format!("{} was told {event:?}", self.name));
            }
            Event::Resynced { group, epoch } => {
                let (epoch_number, group_name) = (epoch.0, self.short(group));
                self.ground
                    .log
                    .line(format!("{} came back into {group_name} in epoch {epoch_number}", self.name));
                self.diary().removed(group);
                self.diary().joined(group, epoch.0);
            }
            Event::Undecryptable { group, .. } => {
                self.ground.log.line(format!("{} cannot open a message of {}", self.name, self.short(group)));
            }
            Event::Offer { .. }
            | Event::AliasAnswered { .. }
            | Event::Connected { .. }
            | Event::MemberAdded { .. }
            | Event::MemberRemoved { .. }
            | Event::PackagesLow
            | Event::Declined { .. }
            | Event::Revoked { .. }
            | Event::ProvisionOffered { .. }
            | Event::ProfileChanged { .. }
            | Event::ClientAdded { .. }
            | Event::AnswerRefused { .. } => {}
        }
    }

    /// Notes what is shown, and whether it was said to this client alone.
    fn hear(&self, message: &Message) {
        let text = String::from_utf8_lossy(&message.text).into_owned();
        self.ground.log.line(format!("{} is shown {text:?}", self.name));
        let is_private = message.audience == Audience::Us;
        if is_private != self.ground.ledger.addressee(&text).is_some() {
            self.ground.ledger.violated(format!("{} was shown {text:?} as said to others", self.name));
        }
        self.diary().heard(&message.group, text);
    }

    fn short(&self, group: &GroupId) -> String {
        format!("{}@{}", group.uuid, group.domain)
    }

    pub(crate) fn tell(&self, what: &str, done: Result<(), ClientError>) {
        match done {
            Ok(()) => self.ground.log.line(format!("{} {what}", self.name)),
            Err(error) => self.ground.log.line(format!("{} {what}: {error}", self.name)),
        }
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Actor({})", self.name)
    }
}

/// The domain of the n-th homeserver: alpha.test, beta.test, …
pub(crate) fn domain(number: usize) -> Option<Fqdn> {
    DOMAINS.get(number)?.parse().ok()
}

/// As many homeservers as a world may have.
const DOMAINS: [&str; 5] = ["alpha.test", "beta.test", "gamma.test", "delta.test", "epsilon.test"];
