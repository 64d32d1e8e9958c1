//! Dealing with what was read from queues, in order.

use std::collections::HashSet;

use phoenix_core::{
    AliasHash, ConfigId, GroupId, Reject, Timestamp,
    api::{
        delivery::{CommitAccepted, ContentKind, GroupAccess, GroupContent, ProfileKeyUpdated, Proposals},
        queue::{Entry, EntryKind},
    },
    group::ContentHead,
    wire::{Flag, Wire},
};

use super::{Act, Health, Standing};
use crate::{error::ClientError, event::Event, session::Session};

impl Session {
    /// Deals with all entries that wait. One that cannot be dealt with now, since a homeserver does not answer,
    /// stays, and so does what is behind it for the same group; nothing else waits for it.
    ///
    /// # Errors
    /// That of the first entry of a group of ours that stays. An invitation that waits is none: others sent it.
    pub(crate) async fn process_waiting(&mut self) -> Result<(), ClientError> {
        let mut held = Held::default();
        for seq in self.waiting_entries() {
            let Some(entry) = self.waiting_entry(seq) else { continue };
            if self.take_or_hold(&entry, &mut held).await == Taken::Done {
                self.settle_entry(seq);
            }
        }
        held.first.map_or(Ok(()), Err)
    }

    async fn take_or_hold(&mut self, entry: &Entry, held: &mut Held) -> Taken {
        if let Some((reference, bundle)) = self.open_bundle(entry) {
            let access = bundle.access.clone();
            if !held.groups.contains(&access.group)
                && self.take_welcome(entry, reference, bundle).await.is_ok()
            {
                return Taken::Done;
            }
            let taken = held.invitation(entry.config, access);
            if taken == Taken::Done {
                self.tell_once(Event::InvitationRefused);
            }
            return taken;
        }
        if held.is_of_invitation(entry) {
            return held.stranger();
        }
        let group = self.group_of_config(&entry.config);
        if group.as_ref().is_some_and(|group| held.groups.contains(group)) {
            return Taken::Waits;
        }
        match self.take_entry(entry).await {
            Err(error) if error.is_transient() => {
                held.groups.extend(group);
                held.first.get_or_insert(error);
                Taken::Waits
            }
            // What does not verify was told as an event, or concerns nobody.
            Ok(()) | Err(_) => Taken::Done,
        }
    }

    /// Deals with what came to our direct queue, or to an alias's.
    pub(crate) async fn process_direct(&mut self, alias: Option<AliasHash>) -> Result<(), ClientError> {
        let mut first = Ok(());
        for (seq, entry) in self.direct_entries(alias) {
            let taken = match entry.kind {
                EntryKind::Direct => self.take_direct(&entry, alias).await,
                EntryKind::FanOut | EntryKind::PackagesLow => Ok(()),
            };
            match taken {
                Err(error) if error.is_transient() => first = first.and(Err(error)),
                Ok(()) | Err(_) => self.settle_direct(alias, seq),
            }
        }
        if let Some(inbox) = self.direct_inbox(alias) {
            while inbox.waiting.len() > MAX_WAITING {
                inbox.waiting.pop_first();
            }
        }
        first
    }

    async fn take_entry(&mut self, entry: &Entry) -> Result<(), ClientError> {
        match entry.kind {
            EntryKind::FanOut => match self.group_of_config(&entry.config) {
                Some(group) => self.take_content(&group, entry).await,
                None => Ok(()),
            },
            EntryKind::PackagesLow => {
                if let Some(record) = &mut self.state.record {
                    record.is_low = Flag::Yes;
                }
                self.tell(Event::PackagesLow);
                Ok(())
            }
            EntryKind::Direct => Ok(()),
        }
    }

    /// Takes a message of the moment, as it came by an open stream; it never waits.
    ///
    /// # Errors
    /// Where it is not what it claims to be, or no such message: nothing is told.
    pub(crate) async fn take_ephemeral(&mut self, entry: &Entry) -> Result<(), ClientError> {
        let group = self.group_of_config(&entry.config).ok_or(ClientError::State("no such group"))?;
        let record = self.group(&group)?;
        if entry.kind != EntryKind::FanOut || !record.standing.is_inside() {
            return Err(Reject::Malformed("entry").into());
        }
        let Entry { notify, accepted_at, .. } = *entry;
        let head = ContentHead { notify, ephemeral: Flag::Yes, accepted_at };
        let content = head.open(&record.access.ear_key, &entry.content)?;
        if !matches!(content.kind, ContentKind::Application | ContentKind::Targeted) {
            return Err(Reject::Malformed("kind").into());
        }
        self.take_opened(&group, &content, (Timestamp::from_secs(accepted_at), Flag::Yes)).await
    }

    async fn take_content(&mut self, group: &GroupId, entry: &Entry) -> Result<(), ClientError> {
        let record = self.group(group)?;
        if record.standing == Standing::Removed {
            return Ok(());
        }
        let content = head(entry).open(&record.access.ear_key, &entry.content)?;
        let at = (Timestamp::from_secs(entry.accepted_at), Flag::No);
        match self.take_opened(group, &content, at).await {
            // While we are lost, what we cannot open says nothing of who sent it.
            Err(error) if !error.is_transient() && self.has_fallen_behind(group) => Err(error),
            Err(error) if !error.is_transient() => {
                self.tell_once(Event::Undecryptable { group: group.clone(), sender: content.sender });
                Err(error)
            }
            other => other,
        }
    }

    pub(super) async fn take_opened(
        &mut self,
        group: &GroupId,
        content: &GroupContent,
        (at, ephemeral): (Timestamp, Flag),
    ) -> Result<(), ClientError> {
        let GroupContent { kind, sender, message } = content;
        match kind {
            ContentKind::Commit => self.take_commit(group, *sender, message, at).await,
            ContentKind::Proposal => {
                for proposal in &Proposals::decode(message)? {
                    self.take_proposal(group, proposal, Some(*sender))?;
                }
                Ok(())
            }
            ContentKind::Application | ContentKind::Targeted => {
                self.take_message(group, content, (at, ephemeral)).await
            }
            ContentKind::CommitAccepted => self.take_accepted(group, &CommitAccepted::decode(message)?).await,
            ContentKind::ProfileKey => {
                self.take_profile_key(group, *sender, &ProfileKeyUpdated::decode(message)?)
            }
        }
    }

    /// Whether we know that we missed something of a group.
    fn has_fallen_behind(&self, group: &GroupId) -> bool {
        self.state.groups.get(group).is_some_and(|record| record.health == Health::Lost)
    }

    /// The DS says what became of a commit of ours, in the order of its group.
    async fn take_accepted(&mut self, group: &GroupId, accepted: &CommitAccepted) -> Result<(), ClientError> {
        let record = self.group(group)?;
        let Some(sent) = record.sent.as_ref().filter(|sent| sent.hash == accepted.hash) else {
            // We have the epoch already; or it is one that we do not know, and what leads to it is gone.
            return if accepted.epoch.0 > record.reached { self.lose(group) } else { Ok(()) };
        };
        match (record.standing, sent.act) {
            (Standing::Joining, _) => self.finish_joining(group).await,
            (_, Act::Resync) => self.finish_resync(group).await,
            (Standing::Member | Standing::Leaving | Standing::Removed, _) => self.merge_own(group).await,
        }
    }

    fn waiting_entries(&self) -> Vec<u64> {
        self.state
            .record
            .as_ref()
            .map(|record| record.inbox.waiting.keys().copied().collect())
            .unwrap_or_default()
    }

    fn waiting_entry(&self, seq: u64) -> Option<Entry> {
        self.state.record.as_ref()?.inbox.waiting.get(&seq).cloned()
    }

    fn settle_entry(&mut self, seq: u64) {
        if let Some(record) = &mut self.state.record {
            record.inbox.waiting.remove(&seq);
        }
    }

    fn direct_entries(&mut self, alias: Option<AliasHash>) -> Vec<(u64, Entry)> {
        let inbox = self.direct_inbox(alias);
        inbox
            .map(|inbox| inbox.waiting.iter().map(|(seq, it)| (*seq, it.clone())).collect())
            .unwrap_or_default()
    }

    fn settle_direct(&mut self, alias: Option<AliasHash>, seq: u64) {
        if let Some(inbox) = self.direct_inbox(alias) {
            inbox.waiting.remove(&seq);
        }
    }
}

/// Whether an entry is dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Done,
    Waits,
}

/// What waits, so that what is behind it waits, too.
#[derive(Default)]
struct Held {
    /// What is for them waits.
    groups: HashSet<GroupId>,
    /// Invitations, with the configs that they came through: so do messages of their groups until we give those others.
    invitations: Vec<(ConfigId, GroupAccess)>,
    /// Entries of groups that we are only invited to.
    strangers: usize,
    /// Why the first entry of a group of ours waits.
    first: Option<ClientError>,
}

impl Held {
    /// Lets an invitation wait, if there are not too many.
    fn invitation(&mut self, config: ConfigId, access: GroupAccess) -> Taken {
        let taken = self.stranger();
        if taken == Taken::Waits {
            self.groups.insert(access.group.clone());
            self.invitations.push((config, access));
        }
        taken
    }

    /// Lets an entry of a group that we are invited to wait, if there are not too many: whoever comes too late for what
    /// was dropped comes back by itself.
    fn stranger(&mut self) -> Taken {
        if self.strangers >= MAX_STRANGERS {
            return Taken::Done;
        }
        self.strangers = self.strangers.saturating_add(1);
        Taken::Waits
    }

    /// Whether an entry is for the group of an invitation that waits: several groups may use one config of ours.
    fn is_of_invitation(&self, entry: &Entry) -> bool {
        let mut of_config = self.invitations.iter().filter(|(config, _)| *config == entry.config);
        of_config.any(|(_, access)| head(entry).open(&access.ear_key, &entry.content).is_ok())
    }
}

/// What a message of a group was sealed with, as it came through a queue.
fn head(entry: &Entry) -> ContentHead {
    let Entry { notify, accepted_at, .. } = *entry;
    ContentHead { notify, ephemeral: Flag::No, accepted_at }
}

/// Entries of groups that we are invited to and could not join yet, at most.
const MAX_STRANGERS: usize = 100;
/// Offers that wait for their makers' ASs to answer, at most.
const MAX_WAITING: usize = 100;
