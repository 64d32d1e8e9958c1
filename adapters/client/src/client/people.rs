//! Other users, as an application meets them.

use phoenix_core::{Fqdn, GroupId, UserId};

use super::Client;
use crate::{
    error::ClientError,
    event::OfferId,
    fingerprint::KeyFingerprint,
    group::{ConnectionState, Effort},
    made::OfferMade,
    profile::ProfileKey,
};

impl Client {
    /// Offers a connection to a user (04). Answers with the connection group;
    /// [`Event::Connected`](crate::Event::Connected) tells when the user has accepted.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with `not_found` where there is no such user; [`ClientError::State`] where the two
    /// are connected already.
    pub async fn connect(&self, user: &UserId) -> Result<GroupId, ClientError> {
        self.lock().await.connect(user).await
    }

    /// Offers a connection to whoever is behind an alias of a domain.
    /// [`Event::AliasAnswered`](crate::Event::AliasAnswered) tells who that is; then [`Client::confirm`] it.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with `not_found` where there is no such alias.
    pub async fn connect_alias(&self, alias: &str, domain: &Fqdn) -> Result<GroupId, ClientError> {
        self.lock().await.connect_alias(alias, domain).await
    }

    /// Accepts an offer (04; 07, `join_connection_group`). The connection stands when this returns: save then, since the
    /// offer cannot be accepted twice, and a client that forgot it has to be offered another.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with `not_found` or `conflict` where the offer has ended or someone else was faster.
    pub async fn accept(&self, offer: OfferId) -> Result<GroupId, ClientError> {
        self.lock().await.accept(&offer).await
    }

    /// Declines an offer, and tells whoever made it, without naming who declines. [`Client::ignore`] does so in
    /// silence.
    ///
    /// # Errors
    /// Those of [`Client`]; the offer stays then.
    pub async fn decline(&self, offer: OfferId) -> Result<(), ClientError> {
        self.lock().await.decline(&offer).await
    }

    /// Offers that this client made, and what became of them.
    pub async fn offers_made(&self) -> Vec<OfferMade> {
        self.lock().await.offers_made()
    }

    /// Drops an offer. Whoever made it is not told.
    pub async fn ignore(&self, offer: OfferId) {
        self.lock().await.state.offers.remove(&offer.0);
    }

    /// Connects with the user who answered an offer to an alias.
    ///
    /// # Errors
    /// [`ClientError::State`] where nobody waits to be confirmed.
    pub async fn confirm(&self, group: &GroupId) -> Result<UserId, ClientError> {
        let mut session = self.lock().await;
        let ConnectionState::Answered(answer) = session.group(group)?.connection.clone() else {
            return Err(ClientError::State("nobody waits to be confirmed"));
        };
        let user = answer.user.clone();
        session.befriend(group, answer)?;
        Ok(user)
    }

    /// Forgets a group and its keys: nothing of it is read any more, nor can be. The other members are not told, and still
    /// see this client: [`Client::leave`] first.
    pub async fn close(&self, group: &GroupId) {
        self.lock().await.forget(group);
    }

    /// Users that this one is connected with.
    pub async fn connections(&self) -> Vec<UserId> {
        self.lock().await.state.friends.keys().cloned().collect()
    }

    /// Ends the connection with a user on this client's side: its group is forgotten, and so is the user's key. The
    /// other is not told. Groups that both are in stay.
    ///
    /// # Errors
    /// [`ClientError::State`] where there is no connection.
    pub async fn disconnect(&self, user: &UserId) -> Result<(), ClientError> {
        self.lock().await.disconnect(user)
    }

    /// Takes another key of a user for theirs from now on, in place of the one that was pinned: the one that they
    /// showed last ([`Event::KeyChanged`](crate::Event::KeyChanged),
    /// [`Event::MemberKeyChanged`](crate::Event::MemberKeyChanged)), if it has the fingerprint that the user read out
    /// from the screen of that client ([`Client::fingerprint`]). What its client says in groups is shown then; to be
    /// connected with it, [`Client::disconnect`] and connect anew.
    ///
    /// # Errors
    /// [`ClientError::Unverified`] where they showed no such key; [`ClientError::State`] where there is no connection.
    pub async fn accept_key(&self, user: &UserId, fingerprint: &KeyFingerprint) -> Result<(), ClientError> {
        self.lock().await.accept_key(user, fingerprint)
    }

    /// Sixty digits that are the same for both users of a connection if nobody stands between them (03).
    ///
    /// # Errors
    /// [`ClientError::State`] where there is no connection.
    pub async fn safety_number(&self, user: &UserId) -> Result<String, ClientError> {
        self.lock().await.safety_number(user)
    }

    /// Fetches and opens a version of a user's profile, with the key that they gave us. Their homeserver does not
    /// learn who asks.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with `not_found` where there is no such user or version (any more);
    /// [`ClientError::Unverified`] where it is not what the key was made for.
    pub async fn profile(&self, user: &UserId, key: &ProfileKey) -> Result<Vec<u8>, ClientError> {
        self.lock().await.profile(user, key).await
    }

    /// The same for who cannot reach the homeserver of a user: the own homeserver asks it, where its operator lets it, and
    /// learns whom this client looks up. Costs a Contact token of the own homeserver and a Standard token of the user's,
    /// which must have been fetched while that was reached. Tried once.
    ///
    /// # Errors
    /// Those of [`Client::profile`], in the words of the user's homeserver, which the own one hands on unseen;
    /// [`ClientError::Refused`] with `forbidden` where the own one asks nobody, or not that one.
    pub async fn profile_through_home(
        &self,
        user: &UserId,
        key: &ProfileKey,
    ) -> Result<Vec<u8>, ClientError> {
        self.lock().await.profile_through_home(user, key).await
    }

    /// Asks the homeserver of a domain which clients were revoked, and takes what it publishes of its keys anew
    /// where there are any. [`Event::Revoked`](crate::Event::Revoked) tells of those that we know. Done by
    /// [`Client::maintain`], too.
    ///
    /// # Errors
    /// [`ClientError::Unexpected`] where the homeserver goes back to older keys; [`ClientError::Unverified`] where
    /// they do not verify.
    pub async fn check_authority(&self, domain: &Fqdn) -> Result<(), ClientError> {
        self.lock().await.check_authority(domain, Effort::Patient).await
    }
}
