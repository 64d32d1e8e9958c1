//! The published keys of homeservers.

mod grace;
mod memory;
mod waiting;

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    Fqdn, Origin, Reject, Timestamp,
    api::ServiceName,
    crypto::AtRestKey,
    operation::Need,
    port::{Clock, Ports, Transport, TransportError},
    published::{Latest, PublishedKeys},
    time::{DAY, HOUR, MINUTE},
};
pub use grace::KeyGrace;
use memory::Memory;
use waiting::{Kind, Place, Waiting};

/// Where keys are asked for.
type Door = (Fqdn, ServiceName);

/// Whose a homeserver is, roughly: by the last two labels of its name, or the last three. Names below them cost nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    labels: usize,
    name: String,
}

impl Owner {
    /// By two labels, and by three.
    fn of(domain: &Fqdn) -> [Self; 2] {
        [Self::zone(domain), Self::by(domain, 3)]
    }

    /// By two labels.
    fn zone(domain: &Fqdn) -> Self {
        Self::by(domain, 2)
    }

    fn by(domain: &Fqdn, labels: usize) -> Self {
        Self { labels, name: domain.last_labels(labels).to_owned() }
    }
}

/// Keeps the published keys of other homeservers, and asks for them: one fetch at a time for each domain and
/// service (08, "Published keys").
pub struct KeyDirectory {
    domain: Fqdn,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    own: Mutex<BTreeMap<ServiceName, Arc<PublishedKeys>>>,
    entries: Mutex<BTreeMap<Door, Arc<Entry>>>,
    waiting: Waiting,
    memory: Memory,
    new_comers: Mutex<NewComers>,
    grace: KeyGrace,
}

/// How many homeservers were remembered on a day that were not before.
#[derive(Default)]
struct NewComers {
    day: u64,
    count: u32,
}

#[derive(Default)]
struct Entry {
    fetching: async_lock::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    keys: Option<Arc<PublishedKeys>>,
    /// How long their document was: what is held of it is about twice as long.
    bytes: usize,
    fetched_at: Timestamp,
    /// From when on they are older than what the peer publishes, where it said so.
    stale_from: Option<Timestamp>,
    /// When they were fetched first.
    known_since: Option<Timestamp>,
    /// What is remembered of them, and when that was last written; at the beginning of time where it was found.
    kept: Option<(Latest, Timestamp)>,
    failures: u32,
    /// Until when it is not asked, since it did not answer or nobody could ask it.
    rests_until: Timestamp,
    /// Whether it rests since nobody could ask it, which says nothing of it.
    is_unasked: bool,
}

/// What a peer publishes, and what is remembered of it.
struct Fetched {
    keys: PublishedKeys,
    bytes: usize,
    remembered: Option<Latest>,
}

impl KeyDirectory {
    pub(crate) fn new(domain: Fqdn, ports: &Ports, at_rest: AtRestKey, grace: KeyGrace) -> Self {
        Self {
            domain,
            transport: ports.transport.clone(),
            clock: ports.clock.clone(),
            memory: Memory::new(ports, at_rest),
            new_comers: Mutex::default(),
            grace,
            own: Mutex::default(),
            entries: Mutex::default(),
            waiting: Waiting::default(),
        }
    }

    /// Sets what this homeserver publishes itself: its services look each other up here, too.
    pub fn publish(&self, service: ServiceName, keys: PublishedKeys) {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).insert(service, Arc::new(keys));
    }

    /// Keys that are known already and still good.
    #[must_use]
    pub fn known(&self, need: &Need) -> Option<Arc<PublishedKeys>> {
        if need.domain == self.domain {
            return self.own.lock().unwrap_or_else(PoisonError::into_inner).get(&need.service).cloned();
        }
        self.usable(&self.held(need)?.state())
    }

    /// What is known of a homeserver's AS is older than what it publishes: it is fetched anew when it is needed next, but
    /// once a minute at most, and stays usable for a while if the peer does not answer then.
    pub(crate) fn outdate(&self, domain: &Fqdn) {
        let key = (domain.clone(), ServiceName::As);
        let Some(entry) = self.entries().get(&key).cloned() else { return };
        let mut state = entry.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rested = state.fetched_at.plus_secs(REFRESH_S);
        state.stale_from.get_or_insert(rested.max(self.clock.now()));
    }

    /// Keys, fetched if they must be.
    ///
    /// # Errors
    /// [`Reject::Unavailable`] where the peer does not answer and nothing good is known of it;
    /// [`Reject::Unauthenticated`] where it does not have the key that is needed.
    pub async fn find(&self, need: &Need) -> Result<Arc<PublishedKeys>, Reject> {
        if need.domain == self.domain {
            return self.known(need).ok_or(Reject::Unavailable(RETRY_S)).and_then(|keys| holding(keys, need));
        }
        let entry = self.entry(need);
        if let Some(keys) = entry.state().fresh(need, self.clock.now()) {
            return Ok(keys);
        }
        let _single = entry.fetching.lock().await;
        let now = self.clock.now();
        let state = entry.state();
        if let Some(keys) = state.fresh(need, now) {
            return Ok(keys);
        }
        if state.must_rest(need, now) {
            return self.last_good(&state, need);
        }
        let fetched = self.fetch(need, &state).await;
        let learnt = entry.learn(fetched, self.clock.now());
        self.make_room();
        self.last_good(&learnt, need)
    }

    fn last_good(&self, state: &State, need: &Need) -> Result<Arc<PublishedKeys>, Reject> {
        if state.is_unasked && !may_be_old(need) {
            return Err(Reject::Unavailable(RETRY_S));
        }
        self.usable(state).ok_or(Reject::Unavailable(RETRY_S)).and_then(|keys| holding(keys, need))
    }

    /// The last good keys, while they may be relied on.
    fn usable(&self, state: &State) -> Option<Arc<PublishedKeys>> {
        let until = state.fetched_at.plus_secs(FRESH_S.saturating_add(self.grace.as_secs()));
        state.keys.clone().filter(|_| self.clock.now() < until)
    }

    /// The keys of a peer, and what is remembered of them: it binds this process, too, where another or an earlier one
    /// has seen later ones.
    async fn fetch(&self, need: &Need, before: &State) -> Result<Fetched, TransportError> {
        let remembered = match need.service {
            // Nothing of the others has a serial.
            ServiceName::As => self.memory.recall(&need.domain).await.map_err(|fault| {
                tracing::error!(%fault, "what is known of a homeserver could not be read");
                TransportError::Unreachable
            })?,
            ServiceName::Qs | ServiceName::Ds => None,
        };
        let document = self.transport.fetch(&need.domain, need.service).await?;
        let now = self.clock.now();
        let keys = PublishedKeys::decode(need.service, &document, &need.domain, now)
            .map_err(|_| TransportError::Refused)?;
        let goes_back = before.keys.as_ref().is_some_and(|before| !before.accepts_successor(&keys))
            || remembered.as_ref().is_some_and(|latest| !latest.accepts(&keys));
        let bytes = document.len();
        if goes_back { Err(TransportError::Refused) } else { Ok(Fetched { keys, bytes, remembered }) }
    }

    /// Remembers over restarts how far the documents of others have come: of those that are known for a day, since a
    /// store must not be filled with strangers. From time to time; what fails is done the next time, and holds up no other.
    pub async fn remember(&self) {
        let now = self.clock.now();
        let day = now.as_secs() / DAY;
        // Without the entries themselves, which would count as in use.
        let unkept = |((domain, _), entry): (&Door, &Arc<Entry>)| {
            let state = entry.state();
            Some((domain.clone(), state.unkept(now)?, state.kept.is_none()))
        };
        let mut unkept: Vec<_> = self.entries().iter().filter_map(unkept).collect();
        // Else whoever makes up the first names would take all places of each day.
        unkept.sort_by_cached_key(|(domain, ..)| self.memory.lot(domain, day));
        let mut failed = None;
        for (domain, latest, is_new) in unkept {
            if is_new && !self.takes_new_comer(now) {
                continue;
            }
            match self.memory.keep(&domain, latest.clone(), now).await {
                Ok(true) => {
                    let entry = self.entries().get(&(domain, ServiceName::As)).cloned();
                    entry.inspect(|entry| entry.note_kept(latest, now));
                }
                Ok(false) => {}
                Err(fault) => failed = Some(fault),
            }
        }
        if let Some(fault) = failed {
            tracing::error!(%fault, "what is known of a homeserver could not be kept");
        }
    }

    fn takes_new_comer(&self, now: Timestamp) -> bool {
        let day = now.as_secs() / DAY;
        let mut new_comers = self.new_comers.lock().unwrap_or_else(PoisonError::into_inner);
        if new_comers.day != day {
            *new_comers = NewComers { day, count: 0 };
        }
        new_comers.count = new_comers.count.saturating_add(1);
        new_comers.count <= NEW_COMERS_A_DAY
    }

    /// Keys for a call of so many bytes whose caller nobody knows yet. Where they must be asked for, that has bounds, so
    /// that nobody can make this server knock on many doors (08), or wait with much in its hands (10, T6, T20).
    ///
    /// # Errors
    /// Those of [`find`](Self::find); [`Reject::RateLimited`] where the caller's network has had too many strangers looked
    /// up; [`Reject::Unavailable`] where too many wait.
    pub async fn find_for_stranger(
        &self,
        need: &Need,
        origin: &Origin,
        bytes: usize,
    ) -> Result<Arc<PublishedKeys>, Reject> {
        if self.is_at_hand(need) {
            return self.find(need).await;
        }
        let kind = if self.is_neighbour(need).await { Kind::Neighbour } else { Kind::Stranger };
        match self.waiting.place(origin, bytes, (kind, Some(door(need))), self.clock.now()) {
            Ok(_place) => self.find(need).await,
            Err(reject) => self.find_known(need).map_err(|_| reject),
        }
    }

    /// Whether the homeserver was known a day ago: to this process, or to an earlier one that remembered its AS.
    async fn is_neighbour(&self, need: &Need) -> bool {
        let of_as = Need::keys(need.domain.clone(), ServiceName::As);
        let is_settled =
            |need| self.held(need).is_some_and(|entry| entry.state().is_settled(self.clock.now()));
        // Where that cannot be read, nothing can: the call fails in a moment.
        is_settled(need)
            || is_settled(&of_as)
            || matches!(self.memory.recall(&need.domain).await, Ok(Some(_)))
    }

    /// A place for a call of so many bytes to wait for keys; none is needed where nobody would be asked for them.
    ///
    /// # Errors
    /// [`Reject::Unavailable`] where too many wait.
    pub(crate) fn place(
        &self,
        needs: &[Need],
        origin: &Origin,
        bytes: usize,
    ) -> Result<Option<Place<'_>>, Reject> {
        if needs.iter().all(|need| self.is_at_hand(need)) {
            return Ok(None);
        }
        self.waiting.place(origin, bytes, (Kind::Known, None), self.clock.now()).map(Some)
    }

    /// Keys for a call that has no place to wait: those that are known, where they may be old. A key that is not there may
    /// be new.
    ///
    /// # Errors
    /// [`Reject::Unavailable`] where what is needed is not known.
    pub(crate) fn find_known(&self, need: &Need) -> Result<Arc<PublishedKeys>, Reject> {
        let do_they = may_be_old(need) || self.is_at_hand(need);
        let known = self.known(need).filter(|_| do_they).and_then(|keys| holding(keys, need).ok());
        known.ok_or(Reject::Unavailable(RETRY_S))
    }

    /// Whether nobody would be asked for these keys now: they are new enough, or the peer is left in peace.
    fn is_at_hand(&self, need: &Need) -> bool {
        let now = self.clock.now();
        let is_at_hand = |entry: Arc<Entry>| {
            let state = entry.state();
            state.fresh(need, now).is_some() || (state.must_rest(need, now) && !state.is_unasked)
        };
        need.domain == self.domain || self.held(need).is_some_and(is_at_hand)
    }

    fn held(&self, need: &Need) -> Option<Arc<Entry>> {
        self.entries().get(&door(need)).cloned()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<Door, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, need: &Need) -> Arc<Entry> {
        if let Some(entry) = self.held(need) {
            return entry;
        }
        self.make_room();
        self.entries().entry(door(need)).or_default().clone()
    }

    /// Has those go that are needed least, where too much is held: first of a zone that holds much, since names below one
    /// cost nothing; then whom nobody knew yesterday; and each time the longest document of the zone that holds most.
    /// Nobody goes whose keys are in use; half of the room is left to the others, however much that is.
    fn make_room(&self) {
        let mut entries = self.entries();
        let (mut idle, mut in_use) = (0_usize, 0_usize);
        for entry in entries.values() {
            let sum = if Arc::strong_count(entry) == 1 { &mut idle } else { &mut in_use };
            *sum = sum.saturating_add(entry.weight());
        }
        let room = MAX_WEIGHT.saturating_sub(in_use.min(MAX_WEIGHT / 2));
        if idle <= room {
            return;
        }
        let now = self.clock.now();
        let mut zones: BTreeMap<(bool, Owner), (usize, Vec<_>)> = BTreeMap::new();
        for ((domain, service), entry) in entries.iter().filter(|(_, entry)| Arc::strong_count(entry) == 1) {
            let (state, weight) = (entry.state(), entry.weight());
            let (of_zone, doors) = zones.entry((state.is_settled(now), Owner::zone(domain))).or_default();
            *of_zone = of_zone.saturating_add(weight);
            doors.push((weight, Reverse(state.fetched_at), (domain.clone(), *service)));
        }
        zones.values_mut().for_each(|(_, doors)| doors.sort());
        while idle > room {
            let heaviest = zones.iter_mut().filter(|(_, (_, doors))| !doors.is_empty());
            let heaviest = heaviest.max_by_key(|((is_settled, _), (of_zone, _))| {
                (*of_zone > MUCH_WEIGHT, !is_settled, *of_zone)
            });
            let Some((_, (of_zone, doors))) = heaviest else { return };
            let Some((weight, _, door)) = doors.pop() else { return };
            *of_zone = of_zone.saturating_sub(weight);
            idle = idle.saturating_sub(weight);
            entries.remove(&door);
        }
    }
}

/// Whether keys do that are older than they should be though their homeserver may well answer. What an AS said a while ago
/// does not, since it may have revoked the caller meanwhile, who would choose the moment.
fn may_be_old(need: &Need) -> bool {
    need.service != ServiceName::As
}

fn door(need: &Need) -> Door {
    (need.domain.clone(), need.service)
}

fn holding(keys: Arc<PublishedKeys>, need: &Need) -> Result<Arc<PublishedKeys>, Reject> {
    match &need.key {
        Some(key) if !keys.has(key) => Err(Reject::Unauthenticated),
        _ => Ok(keys),
    }
}

impl Entry {
    /// What it takes of the room for keys.
    fn weight(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).bytes.saturating_add(LEAST_WEIGHT)
    }

    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_kept(&self, latest: Latest, now: Timestamp) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).kept = Some((latest, now));
    }

    fn learn(&self, fetched: Result<Fetched, TransportError>, now: Timestamp) -> State {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match fetched {
            Ok(Fetched { keys, bytes, remembered }) => {
                let kept =
                    state.kept.take().or_else(|| remembered.map(|latest| (latest, Timestamp::default())));
                let known_since = Some(state.known_since.unwrap_or(now));
                let keys = Some(Arc::new(keys));
                *state = State { keys, bytes, fetched_at: now, known_since, kept, ..State::default() };
            }
            // It was not asked, so that is no failure of its; who comes meanwhile need not wait for a turn as well.
            Err(TransportError::Busy) => {
                state.rests_until = now.plus_secs(BUSY_REST_S);
                state.is_unasked = true;
            }
            Err(TransportError::Unreachable | TransportError::Refused) => {
                let rest = FAILURE_REST_S.saturating_mul(1 << state.failures.min(MAX_DOUBLINGS));
                state.failures = state.failures.saturating_add(1);
                state.is_unasked = false;
                state.rests_until = now.plus_secs(rest.min(HOUR));
            }
        }
        state.clone()
    }
}

impl State {
    /// The keys, where they are new enough and hold what is needed.
    fn fresh(&self, need: &Need, now: Timestamp) -> Option<Arc<PublishedKeys>> {
        let keys = self.keys.clone().filter(|_| !self.is_stale(now))?;
        holding(keys, need).ok()
    }

    /// Whether they are to be asked for again before they are used.
    fn is_stale(&self, now: Timestamp) -> bool {
        now >= self.fetched_at.plus_secs(FRESH_S) || self.stale_from.is_some_and(|from| now >= from)
    }

    /// Whether they were known a day ago, to this process or an earlier one.
    fn is_settled(&self, now: Timestamp) -> bool {
        self.kept.is_some() || self.known_since.is_some_and(|since| now >= since.plus_secs(STRANGER_S))
    }

    /// How far they have come, where that is to be remembered and is not yet, or not for long any more.
    fn unkept(&self, now: Timestamp) -> Option<Latest> {
        let latest = Latest::of(self.keys.as_ref()?)?;
        let is_kept =
            self.kept.as_ref().is_some_and(|(kept, at)| *kept == latest && now < at.plus_secs(KEPT_S));
        (self.is_settled(now) && !is_kept).then_some(latest)
    }

    /// Whether it is too early to ask (again): for a key that was not there a moment ago, or after a failure.
    fn must_rest(&self, need: &Need, now: Timestamp) -> bool {
        let asked = need.key.is_some() && self.keys.is_some() && now < self.fetched_at.plus_secs(REFRESH_S);
        now < self.rests_until || (asked && !self.is_stale(now))
    }
}

/// For how long keys are not asked for again.
const FRESH_S: u64 = HOUR;
/// For how long a homeserver is a stranger, of whom nothing is remembered.
const STRANGER_S: u64 = DAY;
/// How often it is written that somebody is still known, whom the store else forgets after 180 days.
const KEPT_S: u64 = 30 * DAY;
/// Homeservers that become known on one day, so that nobody fills the store with domains: some 50,000 in all, each in a
/// few hundred bytes.
const NEW_COMERS_A_DAY: u32 = 256;
/// An unknown key id causes at most one refresh in this time.
const REFRESH_S: u64 = MINUTE;
/// A peer that did not answer is left in peace for so long at first; doubled with each failure, up to an hour.
const FAILURE_REST_S: u64 = 5;
const MAX_DOUBLINGS: u32 = 10;
/// For how long nobody asks who could not be asked, since too much else was under way here.
const BUSY_REST_S: u64 = 1;
/// When to come back for keys that could not be had.
const RETRY_S: u32 = 5;
/// Room for the keys of others: for the documents of some four thousand services, most of which have a few kilobytes, and
/// that of an AS with many revoked clients two megabytes.
const MAX_WEIGHT: usize = 64 << 20;
/// What is much for the homeservers of one zone.
const MUCH_WEIGHT: usize = MAX_WEIGHT / 8;
/// What each takes beside its document.
const LEAST_WEIGHT: usize = 8 << 10;

#[cfg(test)]
mod tests;
