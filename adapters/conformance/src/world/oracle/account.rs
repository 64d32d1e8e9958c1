//! What the oracle knows of clients and users, beside their groups.

use std::collections::{BTreeMap, BTreeSet};

use phoenix_core::{Fqdn, UserId};

use super::{
    Doing,
    deed::{Deed, Verdict, Why},
};

/// What is known of accounts. Where something was done of which nobody knows what became, nothing is known of whose it
/// was any more.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    /// Clients of which nothing is known any more.
    unclear: BTreeSet<String>,
    /// Users that are registered, with their passwords.
    passwords: BTreeMap<UserId, String>,
    /// Users that were deleted, and those of which nobody knows.
    deleted: BTreeMap<UserId, bool>,
    /// Users some of whose clients were removed.
    revoked: BTreeSet<UserId>,
    /// Clients that are none any more.
    gone: BTreeSet<String>,
    /// Users whose keys at the queuing service may be others than their clients know: reading finds that out.
    doubtful_keys: BTreeSet<UserId>,
    /// Clients without a queue.
    without_queue: BTreeSet<String>,
    /// Clients that have published a profile, and those of which nobody knows.
    profiles: BTreeMap<String, bool>,
    /// Whose an alias is, and of which nobody knows.
    aliases: BTreeMap<Alias, Option<String>>,
    /// Who tried to register an alias and does not know whether it is theirs: its client has what belongs to one, whoever
    /// got it since.
    drafts: BTreeSet<(Alias, String)>,
    /// How often something that changes whose an alias is was begun or has ended, and how many such things are under way.
    under_way: BTreeMap<Alias, (u64, usize)>,
}

/// An alias of a domain.
pub(super) type Alias = (Fqdn, String);

impl Accounts {
    /// A user is there from the beginning.
    pub(super) fn settle(&mut self, user: &UserId, password: &str) {
        self.passwords.insert(user.clone(), password.to_owned());
    }

    /// Whether a client has published a profile; none where that is not known.
    pub(super) fn has_profile(&self, client: &str) -> Option<bool> {
        match self.profiles.get(client) {
            None => Some(false),
            Some(true) => Some(true),
            Some(false) => None,
        }
    }

    /// The password of a user.
    pub(super) fn password(&self, user: &UserId) -> Option<&String> {
        self.passwords.get(user)
    }

    /// Whether something of a user may be revoked.
    pub(super) fn may_be_revoked(&self, user: &UserId) -> bool {
        self.may_be_deleted(user) || self.revoked.contains(user)
    }

    pub(super) fn may_be_deleted(&self, user: &UserId) -> bool {
        self.deleted.contains_key(user)
    }

    pub(super) fn is_anyone_deleted(&self) -> bool {
        !self.deleted.is_empty()
    }

    /// Something about an alias is begun; says how often that has changed.
    pub(super) fn begin(&mut self, doing: &Doing, alias: Alias) -> u64 {
        if doing.deed.changes_an_alias() {
            let (changes, under_way) = self.under_way.entry(alias.clone()).or_default();
            (*changes, *under_way) = (changes.saturating_add(1), under_way.saturating_add(1));
        }
        self.changes_of(&alias)
    }

    /// Something about an alias has ended.
    pub(super) fn end(&mut self, doing: &Doing, alias: Alias) {
        if doing.deed.changes_an_alias() {
            let (changes, under_way) = self.under_way.entry(alias).or_default();
            (*changes, *under_way) = (changes.saturating_add(1), under_way.saturating_sub(1));
        }
    }

    /// How often whose an alias is may have changed.
    pub(super) fn changes_of(&self, alias: &Alias) -> u64 {
        self.under_way.get(alias).map_or(0, |(changes, _)| *changes)
    }

    pub(super) fn is_unclear(&self, client: &str) -> bool {
        self.unclear.contains(client)
    }

    /// Whether the client is one still, as far as is known.
    pub(super) fn is_there(&self, client: &str) -> bool {
        !self.gone.contains(client) && !self.unclear.contains(client)
    }

    /// Whether the client has a queue to read.
    pub(super) fn has_queue(&self, client: &str) -> bool {
        self.is_there(client) && !self.without_queue.contains(client)
    }

    /// What comes of something; none where that is open.
    pub(super) fn verdict(&self, doing: &Doing) -> Option<Verdict> {
        let is_shut_out = doing.deed.needs_queue_keys() && self.doubtful_keys.contains(&doing.by.user);
        if is_shut_out || self.unclear.contains(&doing.by.name) {
            return None;
        }
        let refused = self.refusal(doing)?;
        Some(refused.map_or(Verdict::Accept, Verdict::Refuse))
    }

    fn refusal(&self, doing: &Doing) -> Option<Option<Why>> {
        let by = &doing.by;
        let is_gone = self.gone.contains(&by.name);
        let is_deleted = match doing.whom.as_ref().and_then(|whom| self.deleted.get(whom)) {
            Some(false) => return None,
            known => known.is_some(),
        };
        let is_wrong = || self.passwords.get(&by.user) != doing.word.as_ref();
        let has_no_queue = self.without_queue.contains(&by.name);
        let when = |holds: bool, why: Why| Some(holds.then_some(why));
        // It may have tokens left, and gets no others.
        if is_gone && doing.deed.costs_tokens() {
            return None;
        }
        match doing.deed {
            Deed::Register => when(doing.whom.is_some(), Why::Taken),
            Deed::LogIn | Deed::ChangePassword => when(is_wrong(), Why::WrongPassword),
            Deed::RemoveClient if is_wrong() => Some(Some(Why::WrongPassword)),
            Deed::DeleteUser if is_gone => Some(Some(Why::Gone)),
            Deed::DeleteUser => when(is_wrong(), Why::WrongPassword),
            Deed::Renew
            | Deed::UpdateProfile
            | Deed::Invite
            | Deed::FetchTokens
            | Deed::RequestToken
            | Deed::TakeAccessToken => when(is_gone, Why::Gone),
            Deed::ReadProfile => when(is_deleted, Why::Unknown),
            Deed::Connect if is_deleted => Some(Some(Why::Unknown)),
            Deed::Provision
            | Deed::ReadRecord
            | Deed::Rotate
            | Deed::RotateKey
            | Deed::RotateUserKey
            | Deed::ReplaceConfigs
            | Deed::SetPushToken
            | Deed::RestartQueue => when(has_no_queue, Why::NotOurs),
            Deed::RegisterAlias => match self.alias(doing)? {
                Some(owner) => when(*owner != by.name, Why::Taken),
                None => Some(None),
            },
            Deed::RenewAlias | Deed::DeleteAlias => {
                let owner = self.alias(doing)?;
                if self.drafts.contains(&(doing.alias()?, by.name.clone())) {
                    return None;
                }
                when(owner != Some(&by.name), Why::NotOurs)
            }
            Deed::ConnectAlias => when(self.alias(doing)?.is_none(), Why::Unknown),
            _ => Some(doing.expected),
        }
    }

    /// Whose an alias is: none where that is not known, or is changing.
    fn alias(&self, doing: &Doing) -> Option<Option<&String>> {
        let alias = doing.alias()?;
        if self.under_way.get(&alias).is_some_and(|(_, under_way)| *under_way > 0) {
            return None;
        }
        match self.aliases.get(&alias) {
            None => Some(None),
            Some(Some(owner)) => Some(Some(owner)),
            Some(None) => None,
        }
    }

    /// Something was accepted.
    pub(super) fn change(&mut self, doing: &Doing) {
        let by = doing.by.name.clone();
        match doing.deed {
            Deed::DeleteUser => {
                self.deleted.insert(doing.by.user.clone(), true);
                self.passwords.remove(&doing.by.user);
                self.without_queue.insert(by.clone());
                self.gone.insert(by);
            }
            Deed::RemoveClient => {
                self.revoked.insert(doing.by.user.clone());
                self.gone.extend(doing.other.clone());
            }
            Deed::ChangePassword => {
                let new = doing.other.clone().unwrap_or_default();
                self.passwords.insert(doing.by.user.clone(), new);
            }
            Deed::DeleteQueue => {
                self.without_queue.insert(by);
            }
            Deed::SetUp => {
                self.without_queue.remove(&by);
            }
            Deed::UpdateProfile => {
                self.profiles.insert(by, true);
            }
            Deed::RegisterAlias | Deed::DeleteAlias => {
                if let Some(alias) = doing.alias() {
                    self.change_alias(alias, by, doing.deed);
                }
            }
            _ => {}
        }
    }

    fn change_alias(&mut self, alias: Alias, by: String, deed: Deed) {
        self.drafts.remove(&(alias.clone(), by.clone()));
        if deed == Deed::RegisterAlias {
            self.aliases.insert(alias, Some(by));
            return;
        }
        let is_anothers = match self.aliases.get(&alias) {
            Some(Some(owner)) => *owner != by,
            Some(None) | None => self.drafts.iter().any(|(draft, _)| *draft == alias),
        };
        if !is_anothers {
            self.aliases.remove(&alias);
        }
    }

    /// Nobody knows what became of something.
    pub(super) fn lose(&mut self, doing: &Doing) {
        match doing.deed {
            Deed::RegisterAlias | Deed::DeleteAlias => {
                if let Some(alias) = doing.alias() {
                    self.drafts.insert((alias.clone(), doing.by.name.clone()));
                    self.aliases.insert(alias, None);
                }
            }
            Deed::DeleteUser => {
                self.deleted.insert(doing.by.user.clone(), false);
                self.unclear.insert(doing.by.name.clone());
            }
            Deed::RemoveClient => {
                self.revoked.insert(doing.by.user.clone());
                self.unclear.extend(doing.other.clone());
            }
            Deed::UpdateProfile => {
                self.profiles.entry(doing.by.name.clone()).or_insert(false);
            }
            Deed::RotateKey | Deed::RotateUserKey => {
                self.doubtful_keys.insert(doing.by.user.clone());
            }
            Deed::ChangePassword | Deed::DeleteQueue | Deed::SetUp => {
                self.unclear.insert(doing.by.name.clone());
            }
            _ => {}
        }
    }
}
