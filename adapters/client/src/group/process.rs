//! What members' messages do to a group.

use openmls::prelude::{
    LeafNodeIndex, ProcessedMessage, ProcessedMessageContent, Proposal, ProtocolMessage, Sender as MlsSender,
    StagedCommit,
};
use openmls_traits::OpenMlsProvider;
use phoenix_core::{
    ClientId, Epoch, GroupId, LeafIndex, Pseudonym, Reject, Timestamp,
    api::delivery::{CommitAad, ContentKind, GroupContent, MessageAad},
    crypto::{open_with_key, sha256},
    port::TransportError,
    time::HOUR,
    wire::{Flag, Wire},
};

use super::{
    ConnectionState, Health, LeafKeys, Standing, Trust, members::Tell, mend::claimed_sender,
    roles::may_be_stored, trust::Effort,
};
use crate::{
    error::{ClientError, mls},
    event::{Audience, Distrust, Event, Message},
    mls::{encoding::protocol_message, provider::Blob},
    session::Session,
    state::FriendshipKeys,
};

impl Session {
    /// Takes a commit that the DS accepted: merges it, whatever it does, since all others do.
    pub(crate) async fn take_commit(
        &mut self,
        group: &GroupId,
        sender: LeafIndex,
        bytes: &[u8],
        at: Timestamp,
    ) -> Result<(), ClientError> {
        let message = match protocol_message(bytes) {
            Ok(message) if self.is_next(group, &message)? => message,
            Ok(message) => return self.compare_with_history(group, message.epoch().as_u64(), bytes),
            Err(error) => {
                self.blame(group, sender, None)?;
                return Err(error);
            }
        };
        let claimed = claimed_sender(&message);
        let (mls_group, provider) = self.mls(group)?;
        let processed = match mls_group.process_message(provider, message) {
            Ok(processed) => processed,
            Err(error) => {
                self.blame(group, sender, claimed)?;
                return Err(mls("process a commit")(error));
            }
        };
        let from = processed.sender().clone();
        let aad = CommitAad::decode(processed.aad());
        match processed.into_content() {
            ProcessedMessageContent::OwnPendingCommit => self.merge_own(group).await,
            ProcessedMessageContent::StagedCommitMessage(staged) => {
                let aad = aad.unwrap_or_default();
                self.check_sender(group, &from, sender)?;
                let is_right = self.check_roles(group, sender, &from, &staged)?;
                let left = self.epoch(group)?.0;
                self.merge(group, *staged, &from, &aad)?;
                self.group_mut(group)?.remember_commit(left, sha256(bytes));
                if !is_right {
                    self.give_up(group, Distrust::RoleViolated)?;
                }
                if self.group(group)?.standing == Standing::Removed {
                    return Ok(());
                }
                self.take_news(group, &from, &aad)?;
                self.meet_members(group, at, Tell::Everybody).await
            }
            _ => {
                self.blame(group, sender, claimed)?;
                Err(Reject::Malformed("commit").into())
            }
        }
    }

    /// Takes a proposal that the DS stored, once. `sender` is the leaf that the DS names, if it names one.
    pub(crate) fn take_proposal(
        &mut self,
        group: &GroupId,
        bytes: &[u8],
        sender: Option<LeafIndex>,
    ) -> Result<(), ClientError> {
        let message = protocol_message(bytes)?;
        if !self.is_next(group, &message)? {
            return Ok(());
        }
        let (mls_group, provider) = self.mls(group)?;
        let processed = mls_group.process_message(provider, message).map_err(mls("process a proposal"))?;
        let ProcessedMessageContent::ProposalMessage(proposal) = processed.into_content() else {
            return Err(Reject::Malformed("proposal").into());
        };
        if !may_be_stored(&proposal, sender) {
            return Err(Reject::Malformed("proposal").into());
        }
        let reference = proposal.proposal_reference_ref();
        let is_stored =
            mls_group.pending_proposals().any(|stored| stored.proposal_reference_ref() == reference);
        if !is_stored {
            mls_group
                .store_pending_proposal(provider.storage(), *proposal)
                .map_err(mls("store a proposal"))?;
        }
        Ok(())
    }

    /// Takes an application message: shows it, if its sender is who the DS says, and is known, and it is for whom the
    /// DS says.
    pub(crate) async fn take_message(
        &mut self,
        group: &GroupId,
        content: &GroupContent,
        (at, ephemeral): (Timestamp, Flag),
    ) -> Result<(), ClientError> {
        let GroupContent { kind, sender, message } = content;
        let sender = *sender;
        let message = protocol_message(message)?;
        let epoch = message.epoch().as_u64();
        if epoch > self.epoch(group)?.0 {
            // What is of the moment overtakes what it was sent after.
            if ephemeral.is_set() {
                return Err(Reject::Malformed("epoch").into());
            }
            // The commit that it was sent after has not come, and comes no more: a group's messages are in order.
            return self.lose(group);
        }
        // Before the message's key is used up: who cannot be verified now is asked about again, for a while.
        let asked = self.verify_members(group, at, (Tell::Everybody, Effort::Passing)).await;
        let from = self.sender_of(group, (epoch, sender), at)?;
        if from.is_none() && self.is_unknown(group, sender)? {
            self.hold_message(group, sender, asked)?;
        }
        let own = self.own_pseudonyms(group)?;
        let (mls_group, provider) = self.mls(group)?;
        let processed = match mls_group.process_message(provider, message) {
            Ok(processed) => processed,
            Err(error) => {
                // Whoever is in the same epoch could open it, if it is the same epoch; but for what is of the moment,
                // which comes twice where a request does.
                if epoch == self.epoch(group)?.0 && !ephemeral.is_set() {
                    self.doubt(group)?;
                }
                return Err(mls("open a message")(error));
            }
        };
        let audience = match (MessageAad::decode(processed.aad()), kind) {
            (Ok(MessageAad::Application), ContentKind::Application) => Some(Audience::Everybody),
            (Ok(MessageAad::Targeted(target)), ContentKind::Targeted) if own.contains(&target) => {
                Some(Audience::Us)
            }
            _ => None,
        };
        let is_sender = *processed.sender() == MlsSender::Member(LeafNodeIndex::new(sender.0));
        let content = content_of(processed)?;
        let Some(audience) = audience.filter(|_| is_sender) else {
            return Err(Reject::Malformed("message").into());
        };
        let event = match from {
            Some(from) => {
                let (group, text) = (group.clone(), content.into());
                let ClientId { user, client } = from;
                Event::Message(Message {
                    group,
                    sender: user,
                    client,
                    text,
                    accepted_at: at,
                    audience,
                    ephemeral,
                })
            }
            None => Event::Unverified { group: group.clone(), leaf: sender },
        };
        self.tell(event);
        Ok(())
    }

    /// The pseudonyms that a message for us may name: that of our leaf, and the one before it.
    fn own_pseudonyms(&self, group: &GroupId) -> Result<Vec<Pseudonym>, ClientError> {
        let record = self.group(group)?;
        Ok(std::iter::once(record.leaf.credential.pseudonym).chain(record.former_name).collect())
    }

    fn is_unknown(&self, group: &GroupId, leaf: LeafIndex) -> Result<bool, ClientError> {
        let member = self.group(group)?.members.get(&leaf);
        Ok(member.is_some_and(|it| it.trust == Trust::Unknown))
    }

    /// Lets a message wait whose sender's AS does not answer; not for ever, since all behind it waits too: an hour in all,
    /// however many messages come of a leaf, and the same hour for all leaves that are unknown when it begins.
    fn hold_message(
        &mut self,
        group: &GroupId,
        leaf: LeafIndex,
        asked: Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        let now = self.now();
        let members = self.group_mut(group)?.members.iter_mut();
        let unknown = members.filter(|(_, member)| member.trust == Trust::Unknown);
        let held: Vec<_> = unknown.map(|(at, member)| (*at, *member.held_from.get_or_insert(now))).collect();
        let since = held.into_iter().find(|(at, _)| *at == leaf).map_or(now, |(_, since)| since);
        if now > since.plus_secs(HOLD_S) {
            return Ok(());
        }
        match asked {
            Err(error) if !error.is_transient() => Err(ClientError::Unreachable(TransportError::Refused)),
            other => other,
        }
    }

    fn merge(
        &mut self,
        group: &GroupId,
        staged: StagedCommit,
        from: &MlsSender,
        aad: &CommitAad,
    ) -> Result<(), ClientError> {
        let fresh = self.fresh_keys(group, &staged, from, aad)?;
        let (is_removed, is_external) = (staged.self_removed(), *from == MlsSender::NewMemberCommit);
        let (mls_group, provider) = self.mls(group)?;
        mls_group.merge_staged_commit(provider, staged).map_err(mls("merge a commit"))?;
        // A commit of ours for the same epoch has lost.
        self.group_mut(group)?.sent = None;
        self.mending.succeeded(group);
        self.repeating.succeeded(group);
        if is_removed {
            return self.end_membership(group);
        }
        if is_external && matches!(self.group(group)?.connection, ConnectionState::Open(_)) {
            self.take_answer(group, aad)?;
        }
        let renewed = match from {
            MlsSender::Member(leaf) => Some(LeafIndex(leaf.u32())),
            _ => None,
        };
        self.refresh_members(group, &fresh, renewed)?;
        let epoch: Epoch = self.epoch(group)?;
        self.tell(Event::EpochChanged { group: group.clone(), epoch });
        Ok(())
    }

    /// The friendship keys of whoever joined our connection group.
    fn take_answer(&mut self, group: &GroupId, aad: &CommitAad) -> Result<(), ClientError> {
        let key = self.group(group)?.credential_key.clone();
        let Ok(opened) = open_with_key(&key, &group.encode(), &aad.sealed) else { return Ok(()) };
        match FriendshipKeys::decode(&opened) {
            Ok(friendship) => self.keep_answer(group, friendship),
            Err(_) => Ok(()),
        }
    }

    /// The sealed keys of the leaves that a commit brings (07): of its path, where its credential is new, then
    /// of its Adds.
    fn fresh_keys(
        &mut self,
        group: &GroupId,
        staged: &StagedCommit,
        from: &MlsSender,
        aad: &CommitAad,
    ) -> Result<LeafKeys, ClientError> {
        let (mls_group, _) = self.mls(group)?;
        let former = match from {
            MlsSender::Member(leaf) => mls_group.member(*leaf).cloned(),
            _ => None,
        };
        let path = staged.update_path_leaf_node().filter(|leaf| former.as_ref() != Some(leaf.credential()));
        let path = path.map(|leaf| leaf.signature_key().as_slice().to_vec());
        let added = staged.queued_proposals().filter_map(|queued| match queued.proposal() {
            Proposal::Add(add) => Some(add.key_package().leaf_node().signature_key().as_slice().to_vec()),
            _ => None,
        });
        Ok(path.into_iter().chain(added).map(Blob).zip(aad.keys.iter().cloned()).collect())
    }

    /// The leaf that the frame was signed by must be the one that MLS says (07, "Delivery").
    fn check_sender(
        &mut self,
        group: &GroupId,
        from: &MlsSender,
        leaf: LeafIndex,
    ) -> Result<(), ClientError> {
        if let MlsSender::Member(member) = from
            && member.u32() != leaf.0
        {
            self.tell(Event::Undecryptable { group: group.clone(), sender: leaf });
        }
        Ok(())
    }

    /// Whether a handshake is for the epoch that we are in: one for an epoch that we have left was merged already, or
    /// has lost; one for a later epoch says that we missed something.
    fn is_next(&mut self, group: &GroupId, message: &ProtocolMessage) -> Result<bool, ClientError> {
        let (theirs, ours) = (message.epoch().as_u64(), self.epoch(group)?.0);
        if self.group(group)?.health == Health::Lost {
            return Ok(false);
        }
        if theirs > ours {
            self.lose(group)?;
        }
        Ok(theirs == ours)
    }
}

fn content_of(processed: ProcessedMessage) -> Result<Vec<u8>, ClientError> {
    match processed.into_content() {
        ProcessedMessageContent::ApplicationMessage(message) => Ok(message.into_bytes()),
        _ => Err(Reject::Malformed("message").into()),
    }
}

/// How long messages wait until their sender can be verified, in seconds.
const HOLD_S: u64 = HOUR;
