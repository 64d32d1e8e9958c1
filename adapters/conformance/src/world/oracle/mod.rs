//! What ought to come of everything that clients do: accepted, or refused for which reason. Plain facts, without
//! cryptography and faults; where faults leave open what became of something, so does the oracle.

mod account;
mod circle;
mod deed;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use phoenix_client::ClientError;
use phoenix_core::{ErrorCode, GroupId, UserId};

pub use self::deed::{Deed, Verdict, Why};
use self::{
    account::{Accounts, Alias},
    circle::Circle,
};
use super::{cast::View, planted::Planted};

/// How often each deed came to what the oracle had said.
pub type Seen = BTreeMap<(Deed, Verdict), u64>;

/// Knows what must come of everything that is done.
#[derive(Default)]
pub(crate) struct Oracle {
    planted: Option<Planted>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: BTreeMap<UserId, BTreeSet<String>>,
    groups: BTreeMap<GroupId, Circle>,
    accounts: Accounts,
    /// Users that may be no member any more by the time when they read that they are.
    uninvited: BTreeSet<UserId>,
    /// How often something happened to a client's calls after which it cannot know what became of them.
    disturbed: BTreeMap<String, u64>,
    seen: Seen,
    /// How often nothing could be said, or faults left open what came of it.
    open: u64,
    /// How many members homeservers took out of groups by themselves.
    expelled: u64,
    /// Whether all faults have ended, and what they left has passed.
    is_calm: bool,
}

/// Who does something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Party {
    pub(crate) name: String,
    pub(crate) user: UserId,
}

/// What someone is about to do.
#[derive(Clone, Debug)]
pub(crate) struct Doing {
    pub(crate) deed: Deed,
    pub(crate) by: Party,
    pub(crate) group: Option<GroupId>,
    /// To whom.
    pub(crate) whom: Option<UserId>,
    /// By which password or alias.
    pub(crate) word: Option<String>,
    /// The other password, client or domain that it is about.
    pub(crate) other: Option<String>,
    /// Why it must be refused, where who does it knows that.
    pub(crate) expected: Option<Why>,
    /// Whether the two are connected.
    pub(crate) are_friends: bool,
    /// Whether its client may see by itself that it cannot be done, and ask nobody.
    pub(crate) seems_vain: bool,
}

/// What the oracle said, before it was done.
#[derive(Debug)]
pub(crate) struct Bet {
    doing: Doing,
    /// The client that calls.
    caller: String,
    verdict: Option<Verdict>,
    /// Whether there was nothing to do, as the client saw it.
    seemed_done: bool,
    /// How often the group or the alias had changed.
    changes: u64,
    disturbed: u64,
}

impl Doing {
    pub(crate) const fn new(deed: Deed, by: Party) -> Self {
        Self {
            deed,
            by,
            group: None,
            whom: None,
            word: None,
            other: None,
            expected: None,
            are_friends: false,
            seems_vain: false,
        }
    }

    pub(crate) fn in_group(self, group: &GroupId) -> Self {
        Self { group: Some(group.clone()), ..self }
    }

    pub(crate) fn to(self, whom: &UserId) -> Self {
        Self { whom: Some(whom.clone()), ..self }
    }

    pub(crate) fn with(self, word: &str) -> Self {
        Self { word: Some(word.to_owned()), ..self }
    }

    pub(crate) fn about(self, other: &str) -> Self {
        Self { other: Some(other.to_owned()), ..self }
    }

    pub(crate) fn expecting(self, expected: Option<Why>) -> Self {
        Self { expected, ..self }
    }

    /// With what its client has of the group, whether or not it knows that it is a member still.
    pub(crate) fn holding(self, holds: Option<&View>) -> Self {
        Self { seems_vain: circle::seems_vain(&self, holds), ..self }
    }

    /// In words.
    pub(crate) fn told(&self) -> String {
        let whom = self.whom.as_ref().map(|whom| format!(" to {}", whom.uuid));
        let word = self.word.as_ref().map(|word| format!(" by {word:?}"));
        let group = self.group.as_ref().map(|group| format!(" in {}@{}", group.uuid, group.domain));
        let parts = [whom, word, group].into_iter().flatten().collect::<String>();
        format!("does {:?}{parts}", self.deed)
    }

    /// The alias that it is about: of its own domain, unless it names another.
    fn alias(&self) -> Option<Alias> {
        if !self.deed.is_about_an_alias() {
            return None;
        }
        let domain = self.other.as_ref().and_then(|other| other.parse().ok());
        Some((domain.unwrap_or_else(|| self.by.user.domain.clone()), self.word.clone()?))
    }
}

impl Oracle {
    /// An oracle that knows nobody; with a mistake, where that is planted.
    pub(crate) fn new(planted: Option<Planted>) -> Self {
        Self { planted, state: Mutex::default() }
    }

    /// A user is there from the beginning.
    pub(crate) fn settle(&self, by: &Party, password: &str) {
        self.settle_further(by);
        self.lock().accounts.settle(&by.user, password);
    }

    /// So is a client of a user, beside others perhaps.
    pub(crate) fn settle_further(&self, by: &Party) {
        self.lock().names.entry(by.user.clone()).or_default().insert(by.name.clone());
    }

    /// The clients that a user had from the beginning.
    pub(crate) fn names_of(&self, user: &UserId) -> BTreeSet<String> {
        self.lock().names.get(user).cloned().unwrap_or_default()
    }

    /// A group is as its members see it, now that all is at rest; where the oracle knew it otherwise, that is told.
    pub(crate) fn compare(&self, group: &GroupId, view: Option<&View>) -> Option<&'static str> {
        let mut state = self.lock();
        let circle = state.groups.get_mut(group)?;
        let differs = circle.differs_from(view);
        circle.learn(view);
        differs
    }

    /// What is known of a group from the beginning.
    pub(crate) fn learn(&self, group: &GroupId, view: Option<&View>) {
        self.lock().groups.entry(group.clone()).or_default().learn(view);
    }

    /// Someone has made a group.
    pub(crate) fn founded(&self, group: &GroupId, founder: &UserId) {
        self.lock().groups.insert(group.clone(), Circle::of(founder));
    }

    /// Whether something that changes a group is under way.
    pub(crate) fn is_changing(&self, group: &GroupId) -> bool {
        self.lock().groups.get(group).is_some_and(|circle| circle.under_way > 0)
    }

    /// Who is in a group and stays, and who is admin, as far as is known.
    pub(crate) fn members(&self, group: &GroupId) -> (BTreeSet<UserId>, BTreeSet<UserId>) {
        let state = self.lock();
        let Some(circle) = state.groups.get(group) else { return Default::default() };
        let stays = |user: &&UserId| !circle.leaving.contains(*user);
        (
            circle.members.iter().filter(stays).cloned().collect(),
            circle.admins.iter().filter(stays).cloned().collect(),
        )
    }

    /// Whether a group has ended.
    pub(crate) fn has_ended(&self, group: &GroupId) -> bool {
        self.lock().groups.get(group).is_some_and(|circle| circle.has_ended)
    }

    /// Whether a client has a queue to read, as far as is known.
    pub(crate) fn has_queue(&self, client: &str) -> bool {
        self.lock().accounts.has_queue(client)
    }

    /// The password of a user, as far as is known.
    pub(crate) fn password(&self, user: &UserId) -> Option<String> {
        self.lock().accounts.password(user).cloned()
    }

    /// Whether a client is one still, as far as is known.
    pub(crate) fn is_there(&self, client: &str) -> bool {
        self.lock().accounts.is_there(client)
    }

    /// Whether a user may find an invitation that holds no more.
    pub(crate) fn is_uninvited(&self, user: &UserId) -> bool {
        self.lock().uninvited.contains(user)
    }

    /// Whether clients of a user may be revoked.
    pub(crate) fn may_be_revoked(&self, user: &UserId) -> bool {
        self.lock().accounts.may_be_revoked(user)
    }

    /// Whether a member of a group may be a user that was deleted. Of groups that connect two, the oracle does not know
    /// whom.
    pub(crate) fn may_have_had_a_deleted_user(&self, group: &GroupId) -> bool {
        let state = self.lock();
        match state.groups.get(group) {
            Some(circle) => circle.members.iter().any(|user| state.accounts.may_be_deleted(user)),
            None => state.accounts.is_anyone_deleted(),
        }
    }

    /// A client cannot know what became of a call.
    pub(crate) fn disturb(&self, client: &str) {
        let mut state = self.lock();
        let count = state.disturbed.entry(client.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    /// From now on nothing that goes wrong is a fault's doing.
    pub(crate) fn calm(&self) {
        self.lock().is_calm = true;
    }

    /// What came of everything that was foretold.
    pub(crate) fn seen(&self) -> Seen {
        self.lock().seen.clone()
    }

    /// How much was left open.
    pub(crate) fn open(&self) -> u64 {
        self.lock().open
    }

    /// The homeserver of a group takes users out of it by itself.
    pub(crate) fn expelled(&self, group: &GroupId, users: &BTreeSet<UserId>) {
        let State { groups, expelled, .. } = &mut *self.lock();
        if let Some(circle) = groups.get_mut(group) {
            *expelled = expelled.saturating_add(circle.expel(users));
        }
    }

    /// How many members homeservers took out of groups by themselves.
    pub(crate) fn expelled_in_all(&self) -> u64 {
        self.lock().expelled
    }

    /// Says what must come of something that is about to be done. `sees` is how the client that does it sees the group.
    pub(crate) fn foretell(&self, doing: Doing, caller: &str, sees: Option<&View>) -> Bet {
        let mut state = self.lock();
        let verdict = state.verdict(&doing, sees).map(|verdict| self.mistaken(&doing, verdict));
        let mut changes = 0;
        let State { groups, uninvited, accounts, .. } = &mut *state;
        if let Some(alias) = doing.alias() {
            changes = accounts.begin(&doing, alias);
        }
        if let Some(circle) = doing.group.as_ref().and_then(|group| groups.get_mut(group)) {
            if doing.deed.changes_a_group() {
                circle.begin();
            }
            if doing.deed == Deed::End {
                uninvited.extend(circle.members.iter().cloned());
            }
            if doing.deed == Deed::Remove {
                uninvited.extend(doing.whom.clone());
            }
            changes = circle.changes;
        }
        let (disturbed, seemed_done) = (state.disturbed_of(caller), circle::seems_done(&doing, sees));
        Bet { doing, caller: caller.to_owned(), verdict, seemed_done, changes, disturbed }
    }

    /// Holds what came of it against what was said. Where that is wrong, it is told.
    pub(crate) fn settle_bet(&self, bet: Bet, done: Result<(), &ClientError>) -> Option<String> {
        let Bet { doing, caller, mut verdict, seemed_done, changes, disturbed } = bet;
        let mut state = self.lock();
        let is_disturbed = state.disturbed_of(&caller) != disturbed;
        if let Some(alias) = doing.alias() {
            verdict = verdict.filter(|_| state.accounts.changes_of(&alias) == changes);
            state.accounts.end(&doing, alias);
        }
        if let Some(circle) = doing.group.as_ref().and_then(|group| state.groups.get_mut(group)) {
            verdict = verdict.filter(|_| circle.changes == changes);
            if doing.deed.changes_a_group() {
                circle.end();
            }
        }
        let is_calm = state.is_calm;
        let is_open = |error: &ClientError| !is_calm && leaves_open(error);
        match done {
            // It is not known whether the client looked again before it did nothing.
            Ok(()) if seemed_done && verdict.is_none() => state.lose(&doing),
            Ok(()) => state.change(&doing),
            Err(error) if is_open(error) || is_disturbed => state.lose(&doing),
            Err(_) => {}
        }
        let is_right = match (verdict, done) {
            (Some(Verdict::Accept), Ok(())) => true,
            (Some(Verdict::Refuse(why)), Err(error)) if why.fits(error) => true,
            (None, _) => return state.leave_open(),
            (Some(Verdict::Refuse(why)), Ok(())) if is_disturbed && doing.deed.is_repeated_safely(why) => {
                return state.leave_open();
            }
            (Some(_), Err(error)) if is_open(error) || is_disturbed => return state.leave_open(),
            (Some(_), _) => false,
        };
        let verdict = verdict?;
        if is_right {
            let count = state.seen.entry((doing.deed, verdict)).or_default();
            *count = count.saturating_add(1);
            return None;
        }
        let came = done.map_or_else(ToString::to_string, |()| "accepted".to_owned());
        let Doing { deed, by, whom, .. } = &doing;
        Some(format!("O: {} does {deed:?} to {whom:?}: foretold {verdict:?}, came {came:?}", by.name))
    }

    /// What an oracle says that errs.
    fn mistaken(&self, doing: &Doing, verdict: Verdict) -> Verdict {
        match (self.planted, doing.deed, verdict) {
            (Some(Planted::MistakenOracle), Deed::Demote, Verdict::Refuse(Why::LastAdmin)) => Verdict::Accept,
            _ => verdict,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an error says nothing of what became of a deed. Nothing excuses a homeserver that is broken itself; and no run
/// does so much that one may find it too much.
fn leaves_open(error: &ClientError) -> bool {
    let is_inexcusable = matches!(error.code(), Some(ErrorCode::Internal | ErrorCode::RateLimited));
    error.is_transient() && !is_inexcusable || *error == ClientError::Outrun
}

impl State {
    fn verdict(&self, doing: &Doing, sees: Option<&View>) -> Option<Verdict> {
        if let Some(why) = doing.expected {
            return (!self.accounts.is_unclear(&doing.by.name)).then_some(Verdict::Refuse(why));
        }
        let Some(group) = &doing.group else {
            return self.accounts.verdict(doing);
        };
        let verdict = self.groups.get(group)?.verdict(doing, sees)?;
        if doing.deed != Deed::Share || self.accounts.has_profile(&doing.by.name)? {
            return Some(verdict);
        }
        // Who has none to share may be told that first, or that it is no member any more.
        (verdict == Verdict::Accept).then_some(Verdict::Refuse(Why::NotOurs))
    }

    fn change(&mut self, doing: &Doing) {
        match doing.group.as_ref().and_then(|group| self.groups.get_mut(group)) {
            Some(circle) => circle.change(doing),
            None => self.accounts.change(doing),
        }
    }

    fn lose(&mut self, doing: &Doing) {
        match doing.group.as_ref().and_then(|group| self.groups.get_mut(group)) {
            Some(circle) => circle.is_unclear |= doing.deed.changes_a_group(),
            None => self.accounts.lose(doing),
        }
    }

    fn leave_open(&mut self) -> Option<String> {
        self.open = self.open.saturating_add(1);
        None
    }

    fn disturbed_of(&self, client: &str) -> u64 {
        self.disturbed.get(client).copied().unwrap_or(0)
    }
}
