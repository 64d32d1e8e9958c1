//! Groups, as an application works with them.

use phoenix_core::{Epoch, GroupId, UserId, port::Outgoing, token::Token};

use super::Client;
use crate::{
    error::ClientError,
    group::{Member, Plan, Receipt},
};

impl Client {
    /// Makes a group on this client's homeserver, with this client as its only member and admin.
    ///
    /// # Errors
    /// As of the calls that it makes.
    pub async fn create_group(&self) -> Result<GroupId, ClientError> {
        self.lock().await.create_group().await
    }

    /// Adds all clients of users that this one is connected with, after verifying who is behind their packages. Those
    /// who are members already stay as they are.
    ///
    /// # Errors
    /// [`ClientError::State`] where one is not connected; [`ClientError::Refused`] with `forbidden` where this
    /// client is no admin; [`ClientError::Outrun`] where other members were faster each time.
    pub async fn invite(&self, group: &GroupId, users: &[UserId]) -> Result<(), ClientError> {
        self.lock().await.invite(group, users).await
    }

    /// Removes all clients of users.
    ///
    /// # Errors
    /// As [`Client::invite`]; [`ClientError::State`] where one is no member, as far as we know: then nobody is removed.
    pub async fn remove(&self, group: &GroupId, users: &[UserId]) -> Result<(), ClientError> {
        self.lock().await.commit(group, &Plan::Remove(users.to_vec())).await
    }

    /// Gives this client's leaf fresh keys, and covers what others propose.
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

    /// Groups that this client is a member of, connection groups among them.
    pub async fn groups(&self) -> Vec<GroupId> {
        self.lock().await.state.groups.keys().cloned().collect()
    }

    /// The members of a group.
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
