//! Reading what came.

use phoenix_core::{
    GroupId, LeafIndex,
    api::{
        delivery::{CommitAccepted, ContentKind, GroupContent, WelcomeBundle},
        queue::{Dequeue, DequeueRequest, Entry},
    },
    group::ContentHead,
    wire::{Flag, Sender, Wire},
};

use super::{SecondClient, call::Auth, mls};

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A friend added us.
    Joined(GroupId),
    /// A member wrote.
    Text(GroupId, LeafIndex, String),
    /// A member's commit was applied.
    Commit(GroupId, LeafIndex),
    /// Something was proposed, and waits for a commit.
    Proposal(GroupId),
    /// A commit of ours was accepted.
    Accepted(GroupId),
    /// We are no member any more.
    Removed(GroupId),
}

impl SecondClient {
    /// Reads the queue, until nothing more comes for a while.
    pub(crate) async fn read(&mut self) -> Vec<Heard> {
        let mut heard = Vec::new();
        loop {
            let next = self.record.ratchet.next_seq();
            let request = DequeueRequest { from: next, max: 100, ack_below: next, wait_s: PATIENCE_S };
            let auth = Auth::new(Sender::QsClient(self.record.client), &self.record.key);
            let domain = self.caller.domain();
            let reply = self.caller.call::<Dequeue>(&domain, Some(auth), &request).await.unwrap();
            assert_eq!(reply.gap_before, None);
            if reply.entries.is_empty() {
                return heard;
            }
            for entry in &reply.entries {
                if let Some(entry) = self.record.ratchet.open(entry).unwrap() {
                    heard.extend(self.take(&entry).await);
                }
            }
        }
    }

    async fn take(&mut self, entry: &Entry) -> Option<Heard> {
        if let Some(package) = self.packages.get(&entry.config)
            && let Ok(bundle) = WelcomeBundle::open(&package.init_key, &package.reference, &entry.content)
        {
            return Some(Heard::Joined(self.join(entry.config, bundle).await));
        }
        let group = self.configs.get(&entry.config)?.clone();
        let Entry { notify, accepted_at, .. } = *entry;
        let head = ContentHead { notify, ephemeral: Flag::No, accepted_at };
        let content = head.open(&self.groups.get(&group)?.access.ear_key, &entry.content).unwrap();
        self.take_content(&group, content).await
    }

    async fn take_content(&mut self, group: &GroupId, content: GroupContent) -> Option<Heard> {
        if self.is_past(group, &content) {
            return None;
        }
        let GroupContent { kind, sender, message } = content;
        match kind {
            ContentKind::Commit => Some(self.take_commit(group, sender, &message).await),
            ContentKind::Proposal => {
                self.take_proposals(group, &message);
                Some(Heard::Proposal(group.clone()))
            }
            ContentKind::Application => {
                let text = self.open_message(group, sender, &message);
                Some(Heard::Text(group.clone(), sender, text))
            }
            ContentKind::CommitAccepted => {
                let accepted = CommitAccepted::decode(&message).unwrap();
                self.check_accepted(group, &accepted);
                Some(Heard::Accepted(group.clone()))
            }
            other => panic!("{other:?} is not sent here"),
        }
    }

    /// Whether a message is of an epoch that we have left behind.
    fn is_past(&self, group: &GroupId, content: &GroupContent) -> bool {
        let membership = &self.groups[group];
        match content.kind {
            ContentKind::Commit => mls::epoch_of(&content.message) < mls::epoch(&membership.mls),
            ContentKind::Application => mls::epoch_of(&content.message) < membership.since,
            _ => false,
        }
    }
}

/// How long it is waited for more, in seconds of virtual time.
const PATIENCE_S: u8 = 10;
