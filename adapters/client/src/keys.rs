//! Other keys for our records at the QS, and the end of queue configs that were given out (06).

use std::sync::Arc;

use phoenix_core::{
    ErrorCode, GroupId, Timestamp,
    api::{
        Empty,
        queue::{
            FormerTokens, GetUser, NewClientKey, UpdateClient, UpdateQsClientRequest, UpdateUser,
            UpdateUserRequest,
        },
    },
    crypto::SigningKey,
    time::DAY,
    wire::{Flag, Sender},
};

use crate::{
    call::Auth,
    error::ClientError,
    group::{Effort, GroupRecord, Health},
    session::Session,
    settings::Pace,
    state::Record,
};

impl Session {
    /// Makes the client's next key, where there is none yet.
    pub(crate) fn prepare_client_key(&mut self) -> Result<SigningKey, ClientError> {
        let key = SigningKey::generate(self.state.account.suite, &mut self.chance);
        Ok(self.record_mut()?.next_key.get_or_insert(key).clone())
    }

    /// Signs with another key at the QS from now on. The former one vouches for the queue configs that are there until
    /// those are replaced.
    pub(crate) async fn rotate_client_key(&mut self, pace: Pace) -> Result<(), ClientError> {
        let key = self.prepare_client_key()?;
        let from_generation = self.record()?.generation.checked_add(1).ok_or(TOO_MANY)?;
        let new = NewClientKey { key: key.verifying_key(), from_generation };
        let request = UpdateQsClientRequest { auth_key: Some(new), queue_key: None, min_generation: None };
        let (route, auth) = (self.queue_route()?, self.queue_identity()?.with_co_signer(Arc::new(key)));
        match self.call::<UpdateClient>(&route, Some(&auth), &request).await {
            Ok(Empty {}) => self.take_next_key(pace)?,
            // An echo of a try whose answer was lost, of an earlier call perhaps.
            Err(error) if error.code() == Some(ErrorCode::Unauthenticated) => {
                self.try_next_key(pace).await.map_err(|_| error)?;
            }
            Err(error) => return Err(error),
        }
        self.follow_generation(pace).await
    }

    /// Where the QS does not know our key any more, it may have the next one: a state from before it was told goes on.
    pub(crate) async fn recover_client_key(&mut self) {
        if self.try_next_key(Pace::Gradual).await.is_ok() {
            // What is left is done by `maintain`.
            let _ = self.publish_add_packages().await;
        }
    }

    /// Takes all queue configs back that were given out.
    pub(crate) async fn replace_configs(&mut self, pace: Pace) -> Result<(), ClientError> {
        self.begin_generation(pace)?;
        self.follow_generation(pace).await
    }

    /// Signs with another key for the user at the QS from now on.
    pub(crate) async fn rotate_user_key(&mut self) -> Result<(), ClientError> {
        let key = SigningKey::generate(self.state.account.suite, &mut self.chance);
        let key = self.record_mut()?.next_user_key.get_or_insert(key).clone();
        // Neither the friendship token nor those before it change.
        let request = UpdateUserRequest {
            auth_key: Some(key.verifying_key()),
            friendship_secret: None,
            former: FormerTokens::Grace,
        };
        let (route, user) = (self.queue_route()?, self.record()?.user);
        let auth = self.user_identity()?.with_co_signer(Arc::new(key.clone()));
        match self.call::<UpdateUser>(&route, Some(&auth), &request).await {
            Ok(_) => {}
            Err(error) if error.code() == Some(ErrorCode::Unauthenticated) => {
                let auth = Auth::new(Sender::QsUser(user), Arc::new(key.clone()));
                self.call::<GetUser>(&route, Some(&auth), &Empty {}).await.map_err(|_| error)?;
            }
            Err(error) => return Err(error),
        }
        let record = self.record_mut()?;
        (record.user_key, record.next_user_key) = (key, None);
        self.state.shared = None;
        Ok(())
    }

    /// Makes the former queue configs void, once none of our groups has one and none is on its way.
    pub(crate) async fn void_former_configs(&mut self) -> Result<(), ClientError> {
        let now = self.now();
        let Some(record) = &self.state.record else { return Ok(()) };
        let generation = record.generation;
        let is_due = record.min_generation < generation && now >= record.void_at;
        if !is_due || !self.groups_behind(generation).is_empty() {
            return Ok(());
        }
        let request =
            UpdateQsClientRequest { auth_key: None, queue_key: None, min_generation: Some(generation) };
        let (route, auth) = (self.queue_route()?, self.queue_identity()?);
        self.call::<UpdateClient>(&route, Some(&auth), &request).await?;
        self.record_mut()?.min_generation = generation;
        Ok(())
    }

    /// Asks once, after it was loaded, of which generation our queue configs must be at least: those that a state of before
    /// would make reach us no more.
    pub(crate) async fn learn_generation(&mut self) {
        if self.is_generation_known || self.state.record.is_none() {
            return;
        }
        let found = self.queue_record().await;
        self.is_generation_known = !matches!(&found, Err(error) if error.is_transient());
        let (Ok(found), Ok(record)) = (found, self.record_mut()) else { return };
        let ours = found.clients.iter().find(|it| it.client == record.client);
        if let Some(least) = ours.map(|it| it.min_generation) {
            record.generation = record.generation.max(least);
            record.min_generation = record.min_generation.max(least);
        }
    }

    /// Signs with the next key, if the QS knows us by it.
    async fn try_next_key(&mut self, pace: Pace) -> Result<(), ClientError> {
        let record = self.record()?;
        let key = record.next_key.clone().ok_or(ClientError::State("no other key"))?;
        let auth = Auth::new(Sender::QsClient(record.client), Arc::new(key));
        let nothing = UpdateQsClientRequest { auth_key: None, queue_key: None, min_generation: None };
        self.call::<UpdateClient>(&self.queue_route()?, Some(&auth), &nothing).await?;
        self.take_next_key(pace)
    }

    fn take_next_key(&mut self, pace: Pace) -> Result<(), ClientError> {
        let record = self.record_mut()?;
        if let Some(key) = record.next_key.take() {
            record.client_key = key;
        }
        self.begin_generation(pace)
    }

    fn begin_generation(&mut self, pace: Pace) -> Result<(), ClientError> {
        let now = self.now();
        let record = self.record_mut()?;
        record.generation = record.generation.checked_add(1).ok_or(TOO_MANY)?;
        record.void_at = match pace {
            Pace::Gradual => now.plus_secs(UNDER_WAY_S),
            Pace::AtOnce => Timestamp(0),
        };
        Ok(())
    }

    /// Publishes packages of the present generation; at once also gives all groups configs of it, and makes those before
    /// void.
    async fn follow_generation(&mut self, pace: Pace) -> Result<(), ClientError> {
        self.publish_add_packages().await?;
        if pace == Pace::Gradual {
            return Ok(());
        }
        self.replace_former_configs().await?;
        self.void_former_configs().await
    }

    /// Gives all groups that have an earlier queue config one of the present generation and queue.
    pub(crate) async fn replace_former_configs(&mut self) -> Result<(), ClientError> {
        let mut first = Ok(());
        for group in self.groups_behind(self.record()?.generation) {
            self.group_mut(&group)?.is_config_shared = Flag::Yes;
            first = first.and(self.replace_config(&group, Effort::Patient).await);
        }
        first
    }

    /// Groups that have a queue config of an earlier generation, or of a queue that we leave. Those that were given up are
    /// left behind.
    fn groups_behind(&self, generation: u32) -> Vec<GroupId> {
        let queue = self.state.queue();
        let is_behind = |it: &GroupRecord| {
            let is_former = it.config_generation < generation || Some(it.queue) != queue;
            it.standing.is_inside() && it.health != Health::GivenUp && is_former
        };
        let behind = self.state.groups.iter().filter(|(_, record)| is_behind(record));
        behind.map(|(group, _)| group.clone()).collect()
    }

    fn record_mut(&mut self) -> Result<&mut Record, ClientError> {
        self.state.record.as_mut().ok_or(ClientError::State("the client has no queue yet"))
    }
}

/// How long messages and invitations may be on their way through a queue config that was replaced (06).
pub(crate) const UNDER_WAY_S: u64 = 8 * DAY;

const TOO_MANY: ClientError = ClientError::State("too many generations");
