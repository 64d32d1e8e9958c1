//! What members' messages do to a group.

use openmls::prelude::{
    LeafNodeIndex, ProcessedMessage, ProcessedMessageContent, Proposal, ProtocolMessage, Sender as MlsSender,
    StagedCommit,
};
use openmls_traits::OpenMlsProvider;
use phoenix_core::{
    ClientId, Epoch, GroupId, LeafIndex, Reject, Timestamp,
    api::delivery::{CommitAad, MemberKeys, MessageAad},
    crypto::open_with_key,
    port::TransportError,
    time::HOUR,
    wire::Wire,
};

use super::{
    ConnectionState, Standing, Trust,
    members::{LinkKeys, Tell},
    roles::may_be_stored,
    trust::Effort,
};
use crate::{
    error::{ClientError, mls},
    event::{Event, Message},
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
        let message = protocol_message(bytes)?;
        if self.is_past(group, &message)? {
            return Ok(());
        }
        let (mls_group, provider) = self.mls(group)?;
        let processed = mls_group.process_message(provider, message).map_err(mls("process a commit"))?;
        let from = processed.sender().clone();
        let aad = CommitAad::decode(processed.aad());
        match processed.into_content() {
            ProcessedMessageContent::OwnPendingCommit => self.merge_own(group).await,
            ProcessedMessageContent::StagedCommitMessage(staged) => {
                let aad = aad.unwrap_or_default();
                self.check_sender(group, &from, sender)?;
                self.check_roles(group, sender, &from, &staged)?;
                self.merge(group, *staged, &from, &aad)?;
                if self.group(group)?.standing == Standing::Removed {
                    return Ok(());
                }
                self.meet_members(group, at, Tell::Everybody).await
            }
            _ => Err(Reject::Malformed("commit").into()),
        }
    }

    /// Takes a proposal that the DS stored, once.
    pub(crate) fn take_proposal(&mut self, group: &GroupId, bytes: &[u8]) -> Result<(), ClientError> {
        let message = protocol_message(bytes)?;
        if self.is_past(group, &message)? {
            return Ok(());
        }
        let (mls_group, provider) = self.mls(group)?;
        let processed = mls_group.process_message(provider, message).map_err(mls("process a proposal"))?;
        let ProcessedMessageContent::ProposalMessage(proposal) = processed.into_content() else {
            return Err(Reject::Malformed("proposal").into());
        };
        if !may_be_stored(&proposal) {
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

    /// Takes an application message: shows it, if its sender is who the DS says, and is known.
    pub(crate) async fn take_message(
        &mut self,
        group: &GroupId,
        sender: LeafIndex,
        bytes: &[u8],
        at: Timestamp,
    ) -> Result<(), ClientError> {
        let message = protocol_message(bytes)?;
        let epoch = message.epoch().as_u64();
        // Before the message's key is used up: who cannot be verified now is asked about again, for a while.
        let asked = self.verify_members(group, at, (Tell::Everybody, Effort::Passing)).await;
        let from = self.sender_of(group, (epoch, sender), at)?;
        if from.is_none() && self.is_unknown(group, sender)? {
            self.hold_message(group, sender, asked)?;
        }
        self.held_from.remove(&(group.clone(), sender));
        let (mls_group, provider) = self.mls(group)?;
        let processed = mls_group.process_message(provider, message).map_err(mls("open a message"))?;
        let is_application = MessageAad::decode(processed.aad()) == Ok(MessageAad::Application);
        let is_sender = *processed.sender() == MlsSender::Member(LeafNodeIndex::new(sender.0));
        let content = content_of(processed)?;
        if !is_application || !is_sender {
            return Err(Reject::Malformed("message").into());
        }
        let event = match from {
            Some(from) => {
                let (group, text) = (group.clone(), content.into());
                let ClientId { user, client } = from;
                Event::Message(Message { group, sender: user, client, text, accepted_at: at })
            }
            None => Event::Unverified { group: group.clone(), leaf: sender },
        };
        self.tell(event);
        Ok(())
    }

    fn is_unknown(&self, group: &GroupId, leaf: LeafIndex) -> Result<bool, ClientError> {
        let member = self.group(group)?.members.get(&leaf);
        Ok(member.is_some_and(|it| it.trust == Trust::Unknown))
    }

    /// Lets a message wait whose sender's AS does not answer; not for ever, since all behind it waits too.
    fn hold_message(
        &mut self,
        group: &GroupId,
        leaf: LeafIndex,
        asked: Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        let now = self.now();
        let since = *self.held_from.entry((group.clone(), leaf)).or_insert(now);
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
        if is_removed {
            self.group_mut(group)?.standing = Standing::Removed;
            self.tell(Event::Removed { group: group.clone() });
            return Ok(());
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

    /// The sealed link keys of the leaves that a commit brings (07): of its path, where its credential is new, then
    /// of its Adds.
    fn fresh_keys(
        &mut self,
        group: &GroupId,
        staged: &StagedCommit,
        from: &MlsSender,
        aad: &CommitAad,
    ) -> Result<LinkKeys, ClientError> {
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
        let link_keys = aad.keys.iter().map(|MemberKeys { link_key, .. }| link_key.clone());
        Ok(path.into_iter().chain(added).map(Blob).zip(link_keys).collect())
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

    /// Whether a handshake is of an epoch that we have left: it was merged already, or has lost.
    fn is_past(&mut self, group: &GroupId, message: &ProtocolMessage) -> Result<bool, ClientError> {
        Ok(message.epoch().as_u64() < self.epoch(group)?.0)
    }
}

fn content_of(processed: ProcessedMessage) -> Result<Vec<u8>, ClientError> {
    match processed.into_content() {
        ProcessedMessageContent::ApplicationMessage(message) => Ok(message.into_bytes()),
        _ => Err(Reject::Malformed("message").into()),
    }
}

/// How long a message waits until its sender can be verified, in seconds.
const HOLD_S: u64 = HOUR;
