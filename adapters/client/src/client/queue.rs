//! The pseudonymous record at the queuing service, as an application looks after it (06).

use phoenix_core::{
    ConfigId, Fqdn, GroupId,
    api::queue::{ConfigRule, FormerTokens, PushToken, QsUserRecord},
};

use super::Client;
use crate::{error::ClientError, settings::Pace};

impl Client {
    /// What the queuing service keeps of this user: its clients, how full their queues are, how many packages are left.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn queue_record(&self) -> Result<QsUserRecord, ClientError> {
        self.lock().await.queue_record().await
    }

    /// Gives this user other friendship keys. Who has the former token fetches nothing by it from now on
    /// ([`FormerTokens::Revoked`]), or for another day ([`FormerTokens::Grace`]), in which it opens what it fetches: the
    /// key that packages are sealed under stays then. Friends learn the new keys by a commit in each connection's group;
    /// whom that does not reach now, with [`Client::maintain`]. Whom the keys are to be kept from,
    /// [`Client::disconnect`] first. Further clients of the user get them with [`Client::provision`].
    ///
    /// # Errors
    /// [`ClientError::State`] where another client of the user holds its connections: that one can do it.
    pub async fn rotate_friendship(&self, former: FormerTokens) -> Result<(), ClientError> {
        self.lock().await.rotate_friendship(former).await
    }

    /// Gives this client another key at the queuing service. The former one signs for nothing from then on; it vouches
    /// for the queue configs that groups and friends have still, until those are replaced (06, `update_client`).
    ///
    /// Save right after it: a state of before knows only the former key, and is shut out of its queue. Where a crash in
    /// between is to cost nothing, call [`Client::prepare_client_key`] and save before.
    ///
    /// # Errors
    /// Where it has begun, a repeated call finishes it. With [`Pace::AtOnce`], an error of a group's homeserver leaves
    /// that group's config as it is: [`Client::maintain`] replaces it and makes the former ones void then.
    pub async fn rotate_client_key(&self, pace: Pace) -> Result<(), ClientError> {
        self.lock().await.rotate_client_key(pace).await
    }

    /// Makes the key that [`Client::rotate_client_key`] brings, so that it can be saved before the queuing service knows
    /// it. A client that goes on from such a state finds out which of the two keys is good.
    ///
    /// # Errors
    /// [`ClientError::State`] where the client has no queue yet.
    pub async fn prepare_client_key(&self) -> Result<(), ClientError> {
        self.lock().await.prepare_client_key().map(|_| ())
    }

    /// Gives this user another key at the queuing service, under the same friendship keys: for when a client that knew
    /// it is gone (06, `update_user`). Further clients of the user get it with [`Client::provision`]; until then they
    /// read, send and publish as before, but add no clients, and do not see [`Client::queue_record`].
    ///
    /// # Errors
    /// Those of [`Client`]; repeated after one that left it open, it finds out what became of it.
    pub async fn rotate_user_key(&self) -> Result<(), ClientError> {
        self.lock().await.rotate_user_key().await
    }

    /// Takes all queue configs back that this client has given out, and gives groups and friends others: whoever got
    /// hold of an earlier one reaches this client by it no more (06, `min_generation`).
    ///
    /// # Errors
    /// As [`Client::rotate_client_key`].
    pub async fn replace_configs(&self, pace: Pace) -> Result<(), ClientError> {
        self.lock().await.replace_configs(pace).await
    }

    /// Moves this client's queue to another homeserver's queuing service, without leaving a group: one whose operator lets
    /// users of others have queues there, or back to the user's own. That homeserver learns nothing of whose queue it is;
    /// its tokens are fetched under this client's identity, though, and better some time before
    /// ([`Client::fetch_tokens`]).
    ///
    /// The queue there is made at once, and so are packages by which friends add this client. Then each group gets a
    /// config for it, and friends hear where this client's packages are: with [`Pace::AtOnce`] now, or with
    /// [`Client::sync`] where something fails; else one in each [`Client::maintain`]. With
    /// [`Acknowledge::Saved`](crate::Acknowledge::Saved) that begins when the state was saved. Until a group has
    /// said that nothing follows by the former queue, both are read, in that order, so that nothing is lost and nothing
    /// overtakes; where a former queue does not bring it within an hour, what the new one brought waits no longer. The former
    /// queue is deleted when each group has said so, or eight days after the group got its config: a homeserver may hold
    /// messages for a week. With [`Pace::Gradual`] it stays for eight days at least, for which invitations may be on their
    /// way.
    ///
    /// A push token and rules for groups ([`Client::set_push_token`], [`Client::rule_group`]) stay behind. Further clients
    /// of the user follow with [`Client::provision`].
    ///
    /// # Errors
    /// Where the queue was not made, nothing has changed: [`ClientError::Refused`] with `token_required` or
    /// `token_invalid` where that homeserver makes queues for its own users only. [`ClientError::State`] where another
    /// client of the user holds its connections: that one can do it; or where four queues are being left already. Where the
    /// queue was made, [`Client::sync`] and [`Client::maintain`] do what was left.
    pub async fn move_queue(&self, to: &Fqdn, pace: Pace) -> Result<(), ClientError> {
        self.lock().await.move_queue(to, pace).await
    }

    /// The homeservers whose queuing services keep a queue of this client: those that it leaves, and at last the one that
    /// it has now.
    pub async fn queues(&self) -> Vec<Fqdn> {
        self.lock().await.state.records().map(|record| record.domain().clone()).collect()
    }

    /// Leaves a push token with the queuing service, by which this client is woken while no stream is open; none takes it
    /// back. The homeserver opens it only to push: the key travels in this client's queue configs, which
    /// [`Client::maintain`] replaces one by one.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn set_push_token(&self, token: Option<&PushToken>) -> Result<(), ClientError> {
        self.lock().await.set_push_token(token).await
    }

    /// Says what becomes of messages for a group: stored without a push ([`ConfigRule::Muted`]), neither stored nor
    /// pushed ([`ConfigRule::Blocked`]), or as usual. Nobody is told, nor does the queuing service learn which group it
    /// is. A group that was blocked and is freed has gone on meanwhile: this client comes back by itself.
    ///
    /// # Errors
    /// [`ClientError::State`] where there is no such group.
    pub async fn rule_group(&self, group: &GroupId, rule: ConfigRule) -> Result<(), ClientError> {
        self.lock().await.rule_group(group, rule).await
    }

    /// Says the same of single queue configs of this client.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn rule_configs(&self, configs: &[ConfigId], rule: ConfigRule) -> Result<(), ClientError> {
        self.lock().await.rule_configs(configs, rule).await
    }

    /// Begins the queue again with another key. Done by itself where the queue's entries cannot be opened any more.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn restart_queue(&self) -> Result<(), ClientError> {
        self.lock().await.restart_queue().await
    }

    /// Ends this client's record at the queuing service, its queue and packages; with the user's last client also the
    /// user's. So do those that it leaves ([`Client::queues`]). Nobody reaches it any more until [`Client::set_up`].
    ///
    /// # Errors
    /// Those of [`Client`]. Where one homeserver does not answer, the others' records have ended; a repeated call ends what is
    /// left.
    pub async fn delete_queue(&self) -> Result<(), ClientError> {
        self.lock().await.delete_record().await
    }
}
