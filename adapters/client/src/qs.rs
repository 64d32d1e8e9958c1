//! What changes of the client's record at its QS once it is made (06): keys, queue, rules, push token; and its end.

use std::sync::Arc;

use phoenix_core::{
    ConfigId, ErrorCode, GroupId, QsClientId, Timestamp,
    api::{
        Empty,
        queue::{
            ConfigRule, CreateClient, CreateClientRequest, DeleteClient, DeleteClientRequest, DeleteUser,
            FormerTokens, FriendshipToken, GetUser, MAX_RULE_CHANGES, PushToken, QsUserRecord, RuleChange,
            SetPushToken, SetPushTokenRequest, UpdateBlocklist, UpdateBlocklistRequest, UpdateClient,
            UpdateQsClientRequest, UpdateUser, UpdateUserRequest,
        },
    },
    crypto::{HpkeSecretKey, SigningKey},
    port::Circuit,
    time::{DAY, Month},
    wire::{Flag, List, Secret, Sender},
};

use crate::{
    call::{Auth, Route},
    error::ClientError,
    event::Event,
    group::{Effort, GroupRecord},
    inbox::Inbox,
    provision::Shared,
    session::Session,
    settings::Pace,
    state::{FriendshipKeys, Record},
};

impl Session {
    /// What the QS keeps of our user.
    pub(crate) async fn queue_record(&mut self) -> Result<QsUserRecord, ClientError> {
        let (route, auth) = (self.queue_route()?, self.user_identity()?);
        self.call::<GetUser>(&route, Some(&auth), &Empty {}).await
    }

    /// Makes this client one of the user that another client gave us, in place of the record that we made for ourselves.
    pub(crate) async fn adopt_record(&mut self, shared: Shared) -> Result<(), ClientError> {
        if self.state.record.as_ref().is_some_and(|record| record.user == shared.user) {
            return self.follow_keys(&shared).await;
        }
        self.check_room()?;
        let suite = self.state.account.suite;
        let client_key = SigningKey::generate(suite, &mut self.chance);
        let queue_key = HpkeSecretKey::generate(suite, &mut self.chance);
        let request = CreateClientRequest {
            client: QsClientId(self.chance.bytes()),
            client_key: client_key.verifying_key(),
            queue_key: queue_key.public_key().clone(),
        };
        let circuit = self.fresh_circuit();
        let to = Route { domain: shared.friendship.domain.clone(), circuit: Circuit(circuit) };
        let auth = Auth::new(Sender::QsUser(shared.user), Arc::new(shared.user_key.clone()))
            .with_co_signer(Arc::new(client_key.clone()));
        match self.call::<CreateClient>(&to, Some(&auth), &request).await {
            Ok(Empty {}) => {}
            // An echo of a try whose answer was lost: nobody else knows the id.
            Err(error) if self.uncertain && error.code() == Some(ErrorCode::AlreadyExists) => {}
            Err(error) => return Err(error),
        }
        let Shared { user, user_key, friendship } = shared;
        let (keys, queue) = ((user_key, client_key), (circuit, Inbox::new(queue_key)));
        let record = Record::new((user, request.client), keys, queue, friendship);
        self.take_record(record, Pace::AtOnce)?;
        self.publish_add_packages().await?;
        self.leave_queues().await
    }

    /// Another client of ours changed the user's keys: our packages are sealed under the new ones from now on.
    async fn follow_keys(&mut self, Shared { user_key, friendship, .. }: &Shared) -> Result<(), ClientError> {
        let Some(record) = &mut self.state.record else { return Ok(()) };
        record.user_key = user_key.clone();
        if record.friendship == *friendship {
            return Ok(());
        }
        record.friendship = friendship.clone();
        self.publish_add_packages().await
    }

    /// Begins the queue again with another key, where its entries cannot be opened any more (06, "Ratchet"): what was
    /// not read is lost, and groups may have gone on without us.
    pub(crate) async fn restart_queue(&mut self) -> Result<(), ClientError> {
        let key = HpkeSecretKey::generate(self.state.account.suite, &mut self.chance);
        let request = UpdateQsClientRequest {
            auth_key: None,
            queue_key: Some(key.public_key().clone()),
            min_generation: None,
        };
        let (route, auth) = (self.queue_route()?, self.queue_identity()?);
        self.call::<UpdateClient>(&route, Some(&auth), &request).await?;
        if let Some(record) = &mut self.state.record {
            record.inbox.begin_again(key);
        }
        self.tell_once(Event::Gap);
        self.doubt_all();
        Ok(())
    }

    /// Gives our user other friendship keys; friends learn them through their connection groups.
    pub(crate) async fn rotate_friendship(&mut self, former: FormerTokens) -> Result<(), ClientError> {
        let ours = self.signer.verifying_key();
        if self.state.friends.values().any(|friend| friend.ours != ours) {
            return Err(ClientError::State("connections are held by another client of ours"));
        }
        let secret: Secret<32> = Secret::new(self.chance.bytes());
        let request = UpdateUserRequest { auth_key: None, friendship_secret: Some(secret.clone()), former };
        let (route, auth) = (self.queue_route()?, self.user_identity()?);
        let route = self.call::<UpdateUser>(&route, Some(&auth), &request).await?;
        let encryption_key = match former {
            // Friends who have not heard of the new token yet fetch packages by the former one, and open them.
            FormerTokens::Grace => self.record()?.friendship.encryption_key.clone(),
            FormerTokens::Revoked => Secret::new(self.chance.bytes()),
        };
        let friendship = FriendshipKeys {
            domain: self.record()?.domain().clone(),
            token: FriendshipToken { route, secret },
            encryption_key,
            attribution_key: Secret::new(self.chance.bytes()),
        };
        if let Some(record) = &mut self.state.record {
            let before = std::mem::replace(&mut record.friendship, friendship);
            self.state.former_attribution = Some(before.attribution_key);
        }
        self.state.shared = None;
        self.state.friends.values_mut().for_each(|friend| friend.is_news_due = Flag::Yes);
        if former == FormerTokens::Revoked {
            // Under the new key, before anyone is told of it.
            self.publish_add_packages().await?;
        }
        self.tell_friends().await
    }

    /// Leaves a push token with the QS, or takes it back. Our queue configs bring the key that opens it: those that we
    /// have given out are replaced, one after the other.
    pub(crate) async fn set_push_token(&mut self, token: Option<&PushToken>) -> Result<(), ClientError> {
        let record = self.record()?;
        let (client, had_key) = (record.client, record.push_key.clone());
        // Another key each time: who could open the former token cannot open this one.
        let key = token.map(|_| Secret::new(self.chance.bytes()));
        let sealed = match (token, &key) {
            (Some(token), Some(key)) => Some(token.seal(&client, key, &mut self.chance)?),
            _ => None,
        };
        let (route, auth) = (self.queue_route()?, self.queue_identity()?);
        self.call::<SetPushToken>(&route, Some(&auth), &SetPushTokenRequest { token: sealed }).await?;
        if let Some(record) = &mut self.state.record {
            record.push_key = key;
        }
        if had_key.is_some() || token.is_some() {
            self.state.groups.values_mut().for_each(|group| group.config_until = 0);
            self.publish_add_packages().await?;
        }
        Ok(())
    }

    /// Blocks, mutes or frees what comes for a group. One that is freed may have gone on without us, and nothing that
    /// comes need say so: it is compared with what the DS has, also where it is not known whether the QS heard us.
    pub(crate) async fn rule_group(&mut self, group: &GroupId, rule: ConfigRule) -> Result<(), ClientError> {
        self.group(group)?;
        let used = self.state.configs.iter().filter(|(_, used)| *used == group);
        let used = used.map(|(config, _)| *config);
        let configs: Vec<_> = used.filter(|config| self.leads_here(group, config)).collect();
        let ruled = self.rule_configs(&configs, rule).await;
        if rule == ConfigRule::Free {
            self.doubt(group)?;
        }
        ruled
    }

    /// Blocks, mutes or frees queue configs of ours, for as long as any is good.
    pub(crate) async fn rule_configs(
        &mut self,
        configs: &[ConfigId],
        rule: ConfigRule,
    ) -> Result<(), ClientError> {
        let expires = Month::of(self.now()).plus(LIFETIME);
        let change = |config: &ConfigId| RuleChange { config: *config, rule, expires };
        self.change_rules(configs.iter().map(change).collect()).await
    }

    async fn change_rules(&mut self, changes: Vec<RuleChange>) -> Result<(), ClientError> {
        for some in changes.chunks(MAX_RULE_CHANGES) {
            let request = UpdateBlocklistRequest { changes: List::new(some.to_vec())? };
            let (route, auth) = (self.queue_route()?, self.queue_identity()?);
            self.call::<UpdateBlocklist>(&route, Some(&auth), &request).await?;
        }
        Ok(())
    }

    /// Blocks the queue configs that were replaced eight days ago (06): whoever has them still is no DS of ours.
    pub(crate) async fn block_retired(&mut self) -> Result<(), ClientError> {
        let now = self.now();
        let (this_month, is_due) = (Month::of(now), |at: Timestamp| now >= at.plus_secs(RETIRED_S));
        self.state.retired.retain(|_, it| it.expires >= this_month);
        let queue = self.state.queue();
        // Those of a queue that we leave go with it.
        let due = self.state.retired.iter().filter(|(_, it)| is_due(it.at) && Some(it.queue) == queue);
        let due: Vec<_> = due.take(MAX_RULE_CHANGES).map(|(config, it)| (*config, it.expires)).collect();
        if due.is_empty() || self.state.record.is_none() {
            return Ok(());
        }
        let block = |(config, expires): &(ConfigId, Month)| RuleChange {
            config: *config,
            rule: ConfigRule::Blocked,
            expires: *expires,
        };
        self.change_rules(due.iter().map(block).collect()).await?;
        for (config, _) in due {
            self.state.retired.remove(&config);
            self.state.configs.remove(&config);
        }
        Ok(())
    }

    /// Replaces one queue config that ends soon, lacks our push key, or is of an earlier generation.
    pub(crate) async fn renew_a_config(&mut self) -> Result<(), ClientError> {
        let now = self.now().as_secs();
        let Some(Record { generation, client, .. }) = &self.state.record else { return Ok(()) };
        let (generation, queue) = (*generation, *client);
        let is_due = |it: &GroupRecord| {
            it.config_until <= now || it.config_generation < generation || it.queue != queue
        };
        match self.draw_group(|record| record.standing.is_inside() && is_due(record)) {
            Some(group) if self.check_health(&group).is_ok() => {
                self.group_mut(&group)?.is_config_shared = Flag::Yes;
                self.replace_config(&group, Effort::Patient).await
            }
            _ => Ok(()),
        }
    }

    /// Ends our records at QSs: those of the user where we are its only client, else ours alone. One that does not answer
    /// stays, and keeps none of the others.
    pub(crate) async fn delete_record(&mut self) -> Result<(), ClientError> {
        let mut first = Ok(());
        for queue in self.state.records().map(|record| record.client).collect::<Vec<_>>() {
            let ended = self.end_record(queue, Effort::Patient).await;
            if ended.is_ok() {
                self.drop_record(queue);
            }
            first = first.and(ended);
        }
        first
    }

    /// Ends our user's records at QSs, with its other clients: the user is to be no more. One of whose key another client
    /// has changed meanwhile loses us alone.
    pub(crate) async fn delete_user_records(&mut self) {
        let mut ways = Vec::new();
        for record in self.state.records() {
            let route = Route { domain: record.domain().clone(), circuit: Circuit(record.circuit) };
            let auth = Auth::new(Sender::QsUser(record.user), Arc::new(record.user_key.clone()));
            ways.push((record.client, route, auth));
        }
        for (queue, route, auth) in ways {
            // What does not answer ends by itself, and is not waited for.
            let to = (&route, Effort::Passing);
            let mut ended = self.call_with::<DeleteUser>(to, Some(&auth), &Empty {}).await.map(|_| ());
            if ended.as_ref().is_err_and(ClientError::is_unknown_sender) {
                ended = self.end_record(queue, Effort::Passing).await;
            }
            if ended.is_ok() {
                self.drop_record(queue);
            }
        }
    }

    /// Ends one of our records at its QS. One that the QS does not know by our keys is gone.
    pub(crate) async fn end_record(&mut self, queue: QsClientId, effort: Effort) -> Result<(), ClientError> {
        let Some(record) = self.state.record_of(&queue) else { return Ok(()) };
        let route = Route { domain: record.domain().clone(), circuit: Circuit(record.circuit) };
        let keys = [Some(record.client_key.clone()), record.next_key.clone()];
        for key in keys.into_iter().flatten() {
            let auth = Auth::new(Sender::QsClient(queue), Arc::new(key));
            let request = DeleteClientRequest { client: queue };
            match self.call_with::<DeleteClient>((&route, effort), Some(&auth), &request).await {
                Err(error) if error.is_unknown_sender() => {}
                other => return other.map(|_| ()),
            }
        }
        Ok(())
    }

    fn drop_record(&mut self, queue: QsClientId) {
        self.state.former.retain(|_, former| former.record.client != queue);
        self.state.record.take_if(|record| record.client == queue);
    }

    /// Signs as the user record at the QS.
    pub(crate) fn user_identity(&self) -> Result<Auth, ClientError> {
        let record = self.record()?;
        Ok(Auth::new(Sender::QsUser(record.user), Arc::new(record.user_key.clone())))
    }
}

/// How long messages may be on their way through a queue config that was replaced (06).
const RETIRED_S: u64 = 8 * DAY;
/// Months for which a queue config can be good at most.
const LIFETIME: u32 = 12;
