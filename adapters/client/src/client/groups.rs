//! Groups, as an application works with them.

use phoenix_core::{
    Epoch, GroupId, LeafIndex, UserId,
    api::{delivery::ReportReason, queue::NotifyClass},
    port::Outgoing,
    token::Token,
};

use super::Client;
use crate::{
    error::ClientError,
    group::{Letter, Member, Plan, Receipt},
};

impl Client {
    /// Makes a group on this client's homeserver, with this client as its only member and admin (07, `create_group`).
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn create_group(&self) -> Result<GroupId, ClientError> {
        self.lock().await.create_group().await
    }

    /// Adds all clients of users that this one is connected with, after verifying who is behind their packages (03; 07,
    /// `add_users`). Those who are members already stay as they are. Users of more homeservers than one commit takes are
    /// added by several; where one of these fails, those before it are in, and a repeated call adds the rest. They have
    /// joined when their own clients have read the invitation; others learn of it by
    /// [`Event::MemberAdded`](crate::Event::MemberAdded).
    ///
    /// # Errors
    /// [`ClientError::State`] where one is not connected; [`ClientError::Refused`] with `forbidden` where this
    /// client is no admin; [`ClientError::Outrun`] where other members were faster each time.
    pub async fn invite(&self, group: &GroupId, users: &[UserId]) -> Result<(), ClientError> {
        self.lock().await.invite(group, users).await
    }

    /// Removes all clients of users (07, `remove_users`). They read nothing that is said from then on; what they have read
    /// they keep.
    ///
    /// # Errors
    /// As [`Client::invite`]; [`ClientError::State`] where one is no member, as far as we know: then nobody is removed.
    pub async fn remove(&self, group: &GroupId, users: &[UserId]) -> Result<(), ClientError> {
        self.lock().await.commit(group, &Plan::Remove(users.to_vec())).await
    }

    /// Gives this client's leaf fresh keys, and covers what others propose (07, `update_client`): whoever knew the group's
    /// secrets before reads nothing that is said from then on. [`Client::maintain`] does so every few weeks.
    ///
    /// # Errors
    /// [`ClientError::Outrun`] where other members were faster each time.
    pub async fn update(&self, group: &GroupId) -> Result<(), ClientError> {
        self.lock().await.commit(group, &Plan::Update).await
    }

    /// Sends a message to all other members. When this returns, the group's homeserver has it durably. After a
    /// transient error, calling it again with the same text within an hour sends the same message, which arrives
    /// once, whatever was sent in between.
    ///
    /// # Errors
    /// [`ClientError::State`] where this client is no member any more, or a member does not prove who it is.
    pub async fn send(&self, group: &GroupId, text: impl AsRef<[u8]>) -> Result<Receipt, ClientError> {
        self.lock().await.send(group, text.as_ref()).await
    }

    /// Sends a message to one user alone, on all of its clients that are in the group. It comes as one that was said to
    /// them only ([`Message::audience`](crate::Message::audience)), and cannot be passed on as if said to all.
    ///
    /// # Errors
    /// As [`Client::send`]; [`ClientError::State`] where the user is no member, as far as we know.
    pub async fn send_to(
        &self,
        group: &GroupId,
        user: &UserId,
        text: impl AsRef<[u8]>,
    ) -> Result<Receipt, ClientError> {
        self.lock().await.send_to(group, user, text.as_ref()).await
    }

    /// Sends a message of the moment, such as that someone is typing: to members whose stream is open now, and to
    /// nobody else. Nothing of it is stored or pushed.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn send_ephemeral(
        &self,
        group: &GroupId,
        text: impl AsRef<[u8]>,
    ) -> Result<Receipt, ClientError> {
        self.lock().await.send_as(group, text.as_ref(), &Letter::PASSING).await
    }

    /// As [`Client::send`], saying how urgent it is: whether those who have no stream open are pushed to.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn send_notifying(
        &self,
        group: &GroupId,
        text: impl AsRef<[u8]>,
        notify: NotifyClass,
    ) -> Result<Receipt, ClientError> {
        self.lock().await.send_as(group, text.as_ref(), &Letter::lasting(notify)).await
    }

    /// Leaves a group: proposes it, and whoever commits next carries it out ([`Event::Removed`](crate::Event::Removed)).
    /// Nothing is sent from then on. The last member ends the group.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with `forbidden` where nobody is there who could carry it out:
    /// [`Client::delete_group`]; [`ClientError::Outrun`] where other members were faster each time.
    pub async fn leave(&self, group: &GroupId) -> Result<(), ClientError> {
        self.lock().await.leave(group).await
    }

    /// Ends a group: removes all others; its homeserver deletes what it keeps of it, and bars its id for 90 days.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with `forbidden` where this client is no admin.
    pub async fn delete_group(&self, group: &GroupId) -> Result<(), ClientError> {
        self.lock().await.delete_group(group).await
    }

    /// Makes users admins of a group, by all of their clients that are in it (07, `change_roles`).
    ///
    /// # Errors
    /// [`ClientError::State`] where one is no member, as far as we know; [`ClientError::Refused`] with `forbidden` where
    /// this client is no admin.
    pub async fn promote(&self, group: &GroupId, users: &[UserId]) -> Result<(), ClientError> {
        self.lock().await.change_roles(group, (users, &[])).await
    }

    /// Takes back that users are admins. One admin stays.
    ///
    /// # Errors
    /// As [`Client::promote`]; [`ClientError::State`] where nobody would be admin.
    pub async fn demote(&self, group: &GroupId, users: &[UserId]) -> Result<(), ClientError> {
        self.lock().await.change_roles(group, (&[], users)).await
    }

    /// Makes some users admins and others plain members, in one commit: where they change places, nobody is admin beside
    /// the other in between.
    ///
    /// # Errors
    /// As [`Client::promote`] and [`Client::demote`].
    pub async fn change_roles(
        &self,
        group: &GroupId,
        admins: &[UserId],
        members: &[UserId],
    ) -> Result<(), ClientError> {
        self.lock().await.change_roles(group, (admins, members)).await
    }

    /// Gives the members of a group the key of this client's profile, as it was published last
    /// ([`Client::update_profile`]). [`Client::maintain`] does so, too, one group in each call.
    ///
    /// # Errors
    /// [`ClientError::State`] where no profile was published.
    pub async fn share_profile(&self, group: &GroupId) -> Result<(), ClientError> {
        self.lock().await.share_profile(group).await
    }

    /// Fetches and opens the profile of a member, by the newest key that it gave the group.
    ///
    /// # Errors
    /// As [`Client::profile`]; [`ClientError::State`] where the member gave none.
    pub async fn member_profile(&self, group: &GroupId, user: &UserId) -> Result<Vec<u8>, ClientError> {
        let mut session = self.lock().await;
        let key = session.profile_key_of(group, user)?;
        session.profile(user, &key).await
    }

    /// Reports a member to the operator of the group's homeserver, with whatever is to be shown as evidence, up to
    /// 16 KiB. The operator learns both pseudonyms and the group's id; nothing else comes of it by itself.
    ///
    /// # Errors
    /// [`ClientError::State`] where there is no such member.
    pub async fn report(
        &self,
        group: &GroupId,
        member: LeafIndex,
        reason: ReportReason,
        evidence: &[u8],
    ) -> Result<(), ClientError> {
        self.lock().await.report(group, member, (reason, evidence)).await
    }

    /// Thirty-two bytes that all members who share a group's history have in common in its present epoch, and nobody
    /// else. Members who compare them find out whether their homeserver shows them two histories.
    ///
    /// # Errors
    /// [`ClientError::State`] where there is no such group.
    pub async fn epoch_authenticator(&self, group: &GroupId) -> Result<Vec<u8>, ClientError> {
        let mut session = self.lock().await;
        Ok(session.mls(group)?.0.epoch_authenticator().as_slice().to_vec())
    }

    /// Groups that this client is a member of, connection groups among them.
    pub async fn groups(&self) -> Vec<GroupId> {
        self.lock().await.state.groups.keys().cloned().collect()
    }

    /// The members of a group, one for each client, as far as this client has read. Where it is not verified who is behind
    /// a leaf, no user is named (03).
    ///
    /// # Errors
    /// [`ClientError::State`] where there is no such group.
    pub async fn members(&self, group: &GroupId) -> Result<Vec<Member>, ClientError> {
        self.lock().await.member_list(group)
    }

    /// A group's epoch, as far as this client has read.
    ///
    /// # Errors
    /// [`ClientError::State`] where there is no such group.
    pub async fn epoch(&self, group: &GroupId) -> Result<Epoch, ClientError> {
        self.lock().await.epoch(group)
    }

    /// A signed message with a token of the caller's choosing, ready to be handed to a transport once; the client
    /// does not learn what becomes of it. For tests of what homeservers refuse.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn prepare_message(
        &self,
        group: &GroupId,
        text: impl AsRef<[u8]>,
        token: Option<Token>,
    ) -> Result<Outgoing, ClientError> {
        self.lock().await.prepare_message(group, text.as_ref(), token).await
    }
}
