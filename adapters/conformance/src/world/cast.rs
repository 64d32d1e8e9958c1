//! The clients of a world.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use phoenix_client::{Audience, Client, ClientError, ClientPorts, Event, Message, OfferId};
use phoenix_core::{Fqdn, GroupId, UserId, port::Entropy};

use super::{
    diary::{Diaries, Diary, Hearing},
    ground::Ground,
    keys::Overheard,
    link::Link,
    oracle::{Deed, Doing, Party},
};

/// All clients of a world, and what they have to do with each other.
pub(crate) struct Cast {
    pub(crate) ground: Arc<Ground>,
    /// Those who are in groups.
    pub(crate) actors: Vec<Arc<Actor>>,
    /// Those who are in none, and do with their accounts what ends them.
    pub(crate) guests: Vec<Arc<Actor>>,
    groups: Mutex<Vec<GroupId>>,
}

/// One client.
pub(crate) struct Actor {
    pub(crate) name: String,
    pub(crate) user: UserId,
    pub(crate) client: Client,
    pub(crate) ground: Arc<Ground>,
    /// Whether its user has another client, which looks after the account.
    pub(crate) is_further: bool,
    diary: Mutex<Diary>,
    /// Offers that wait to be answered, and who made them.
    offers: Mutex<Vec<(OfferId, UserId)>>,
}

/// How a client sees a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) epoch: u64,
    pub(crate) members: BTreeSet<UserId>,
    pub(crate) admins: BTreeSet<UserId>,
    /// How many clients there are of them all.
    pub(crate) clients: usize,
}

impl Cast {
    pub(crate) fn new(
        ground: &Arc<Ground>,
        (actors, guests): (Vec<Arc<Actor>>, Vec<Arc<Actor>>),
        groups: Vec<GroupId>,
    ) -> Self {
        Self { ground: ground.clone(), actors, guests, groups: Mutex::new(groups) }
    }

    /// The groups that were made.
    pub(crate) fn groups(&self) -> Vec<GroupId> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn add_group(&self, group: &GroupId) {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).push(group.clone());
    }

    /// All clients.
    pub(crate) fn everyone(&self) -> impl Iterator<Item = &Arc<Actor>> {
        self.actors.iter().chain(&self.guests)
    }

    /// Users who are in a group, as far as one of their clients knows.
    pub(crate) fn present(&self, group: &GroupId) -> BTreeSet<UserId> {
        self.actors.iter().filter(|actor| actor.is_member(group)).map(|actor| actor.user.clone()).collect()
    }

    /// Users who are not in a group, as far as all of their clients know.
    pub(crate) fn absent(&self, group: &GroupId) -> Vec<UserId> {
        let present = self.present(group);
        self.first_clients().map(|actor| actor.user.clone()).filter(|user| !present.contains(user)).collect()
    }

    /// The first client of each user that is in groups.
    pub(crate) fn first_clients(&self) -> impl Iterator<Item = &Arc<Actor>> {
        self.actors.iter().filter(|actor| !actor.is_further)
    }

    /// Whether a client is the only one of its user.
    pub(crate) fn is_only_client(&self, actor: &Actor) -> bool {
        self.actors.iter().filter(|other| other.user == actor.user).count() == 1
    }

    /// Whether a client of a user has a group blocked, or may have.
    pub(crate) fn is_deaf(&self, user: &UserId, group: &GroupId) -> bool {
        self.actors.iter().any(|actor| actor.user == *user && actor.is_deaf(group))
    }

    /// Everybody reads their queues. True where nobody was told anything new, and everybody could read.
    pub(crate) async fn everyone_reads(&self) -> bool {
        let readers = self.everyone().filter(|actor| self.ground.oracle.has_queue(&actor.name));
        join_all(readers.map(|actor| actor.read())).await.into_iter().all(|news| news == Ok(0))
    }

    /// How a client sees a group, in words.
    pub(crate) fn in_words(&self, view: Option<&View>) -> String {
        let Some(View { epoch, members, .. }) = view else { return "nothing".to_owned() };
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
        let (user, diary, offers) = (client.user().clone(), Mutex::default(), Mutex::default());
        let (name, ground, is_further) = (name.to_owned(), ground.clone(), false);
        Self { name, user, client, ground, is_further, diary, offers }
    }

    /// A further client of a user.
    pub(crate) fn further(ground: &Arc<Ground>, name: &str, client: Client) -> Self {
        Self { is_further: true, ..Self::new(ground, name, client) }
    }

    /// The same, of whom another client goes on from an older state, and need not have been shown everything.
    pub(crate) fn going_on(&self, client: Client) -> Self {
        let mut diary = self.diary().clone();
        diary.groups.values_mut().for_each(|chapter| chapter.missed_some = true);
        let diary = Mutex::new(diary);
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

    /// Does something, and holds what comes of it against what the oracle says.
    pub(crate) async fn attempt<T>(
        &self,
        doing: Doing,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Option<T> {
        self.attempt_as(&self.name, doing, work).await
    }

    /// The same, by calls of another client.
    pub(crate) async fn attempt_as<T>(
        &self,
        caller: &str,
        doing: Doing,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Option<T> {
        let holds = match &doing.group {
            Some(group) => self.view(group).await,
            None => None,
        };
        let doing = doing.holding(holds.as_ref());
        let sees = holds.filter(|_| doing.group.as_ref().is_some_and(|group| self.is_member(group)));
        let what = doing.told();
        let bet = self.ground.oracle.foretell(doing, caller, sees.as_ref());
        let done = work.await;
        let wrong = self.ground.oracle.settle_bet(bet, done.as_ref().map(|_| ()));
        wrong.into_iter().for_each(|wrong| self.ground.ledger.violated(wrong));
        self.tell(&what, done.as_ref().map(|_| ()).map_err(Clone::clone));
        done.ok()
    }

    pub(crate) fn party(&self) -> Party {
        Party { name: self.name.clone(), user: self.user.clone() }
    }

    /// An offer that waits to be answered.
    pub(crate) fn take_offer(&self) -> Option<(OfferId, UserId)> {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Whether the client has a group blocked, or may have.
    pub(crate) fn is_deaf(&self, group: &GroupId) -> bool {
        self.diary().groups.get(group).is_some_and(|chapter| chapter.hearing != Hearing::Hears)
    }

    /// Whether the client has a group blocked for sure.
    pub(crate) fn has_blocked(&self, group: &GroupId) -> bool {
        self.diary().groups.get(group).is_some_and(|chapter| chapter.hearing == Hearing::Blocked)
    }

    /// The groups that the client may have blocked.
    pub(crate) fn deaf_to(&self) -> Vec<GroupId> {
        let diary = self.diary();
        let deaf = diary.groups.iter().filter(|(_, chapter)| chapter.hearing != Hearing::Hears);
        deaf.map(|(group, _)| group.clone()).collect()
    }

    /// Reads through a stream for a while.
    pub(crate) async fn read_through_a_stream(&self) {
        let transport = Arc::new(Link::of_client(&self.ground, &self.name));
        self.ground.ledger.listens(&self.name, u64::MAX);
        let mut stream = self.client.stream(transport);
        for _ in 0..STREAMED {
            let doing = Doing::new(Deed::Stream, self.party());
            let read = self.attempt(doing, stream.sync(Duration::from_secs(1))).await;
            for event in read.into_iter().flatten() {
                self.note(&event).await;
            }
        }
        drop(stream);
        self.ground.ledger.listens(&self.name, self.ground.clock.elapsed_ms());
    }

    /// How the client sees a group.
    pub(crate) async fn view(&self, group: &GroupId) -> Option<View> {
        let epoch = self.client.epoch(group).await.ok()?.0;
        let members = self.client.members(group).await.ok()?;
        let admins = members.iter().filter(|member| member.admin).filter_map(|it| it.user.clone()).collect();
        let clients = members.len();
        let members = members.into_iter().filter_map(|member| member.user).collect();
        Some(View { epoch, members, admins, clients })
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
        if self.is_wrong(event) {
            self.ground.ledger.violated(format!("{} was told {event:?}", self.name));
        }
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
            Event::Resynced { group, epoch } => {
                let (epoch_number, group_name) = (epoch.0, self.short(group));
                self.ground
                    .log
                    .line(format!("{} came back into {group_name} in epoch {epoch_number}", self.name));
                // It was a member all along, and opens what was said in an epoch that it knew and accepted in one that it
                // missed.
                self.diary().entered(group, epoch.0);
            }
            Event::Undecryptable { group, .. } => {
                self.ground.log.line(format!("{} cannot open a message of {}", self.name, self.short(group)));
            }
            Event::Offer { offer, from, .. } => {
                let mut offers = self.offers.lock().unwrap_or_else(PoisonError::into_inner);
                offers.push((*offer, from.clone()));
            }
            Event::AliasAnswered { .. }
            | Event::Gap
            | Event::KeyChanged { .. }
            | Event::MemberKeyChanged { .. }
            | Event::OwnClient { .. }
            | Event::NoWitness { .. }
            | Event::Unverified { .. }
            | Event::RoleViolated { .. }
            | Event::GivenUp { .. }
            | Event::TokenKeysDiffer { .. }
            | Event::InvitationRefused
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

    /// Whether nothing in the run can have led to an event.
    fn is_wrong(&self, event: &Event) -> bool {
        match event {
            Event::InvitationRefused => !self.ground.oracle.is_uninvited(&self.user),
            Event::Gap => !self.ground.ledger.has_begun_again(&self.name),
            Event::Revoked { user } => !self.ground.oracle.may_be_revoked(user),
            // Nobody falls behind who was shown everything.
            Event::Resynced { group, .. } => {
                self.diary().groups.get(group).is_some_and(|chapter| !chapter.missed_some)
            }
            // Of a user that was deleted before its leaf was looked at, nobody says whose it is any more.
            Event::Unverified { group, .. } => !self.ground.oracle.may_have_had_a_deleted_user(group),
            Event::KeyChanged { .. }
            | Event::MemberKeyChanged { .. }
            | Event::OwnClient { .. }
            | Event::NoWitness { .. }
            | Event::RoleViolated { .. }
            | Event::GivenUp { .. }
            | Event::TokenKeysDiffer { .. } => true,
            _ => false,
        }
    }

    /// Notes what is shown, and whether it was said to this client alone.
    fn hear(&self, message: &Message) {
        let text = String::from_utf8_lossy(&message.text).into_owned();
        self.ground.log.line(format!("{} is shown {text:?}", self.name));
        let is_private = message.audience == Audience::Us;
        if is_private != self.ground.ledger.addressees(&text).is_some() {
            self.ground.ledger.violated(format!("{} was shown {text:?} as said to others", self.name));
        }
        if message.ephemeral.is_set() != self.ground.ledger.is_passing(&text) {
            self.ground.ledger.violated(format!("{} was shown {text:?}, which passes or not", self.name));
        }
        if message.ephemeral.is_set() {
            self.ground.ledger.overheard(&self.name, &text);
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

/// How often a stream is read before it is dropped.
const STREAMED: usize = 3;
/// As many homeservers as a world may have.
const DOMAINS: [&str; 5] = ["alpha.test", "beta.test", "gamma.test", "delta.test", "epsilon.test"];
