//! The account, as an application looks after it.

use phoenix_core::{AliasHash, Fqdn, Timestamp, Uuid, api::auth::Invitation};

use super::Client;
use crate::{dpop::DpopToken, error::ClientError, fingerprint::KeyFingerprint, profile::ProfileKey};

impl Client {
    /// Removes a client of this user, which may be this one, and revokes its credentials. Repeated after an error that
    /// left it open: `not_found` says that it is done; where it was this one, `unauthenticated` does.
    ///
    /// # Errors
    /// [`ClientError::WrongPassword`]; [`ClientError::Refused`] with `not_found` where there is no such client.
    pub async fn remove_client(&self, client: Uuid, password: &str) -> Result<(), ClientError> {
        self.lock().await.remove_client(client, password).await
    }

    /// The fingerprint of this client's key, to be shown where another client of the user is to be trusted with, or
    /// trusted for, [`Client::provision`].
    pub async fn fingerprint(&self) -> KeyFingerprint {
        self.lock().await.fingerprint()
    }

    /// Gives another client of this user what they have in common: the user's friendship keys and its key at the QS,
    /// and those that this client is connected with. `fingerprint` is what the user read on that client's screen
    /// ([`Client::fingerprint`]): without it, the homeserver could name a client of its own. The other client must have
    /// been set up. Costs a Contact token, and one more for each thirty connections or so.
    ///
    /// Before that, this client tells everyone whom it is connected with that it vouches for the other, in a commit of
    /// each connection's group: they take the other client for the user's from then on
    /// ([`Event::ClientAdded`](crate::Event::ClientAdded)). Who is connected later hears it with [`Client::maintain`].
    ///
    /// # Errors
    /// [`ClientError::Unverified`] where the client that the homeserver names has another key;
    /// [`ClientError::Unexpected`] where it names none; [`ClientError::State`] beyond a thousand connections.
    pub async fn provision(&self, client: Uuid, fingerprint: &KeyFingerprint) -> Result<(), ClientError> {
        self.lock().await.provision(client, fingerprint).await
    }

    /// Takes over what another client of this user gave ([`Event::ProvisionOffered`](crate::Event::ProvisionOffered)),
    /// within a day. `fingerprint` is what the user read on that client's screen, not what the event said.
    ///
    /// From then on this client knows the friends of the other: their keys are pinned, [`Client::safety_number`] is
    /// the one that they see. It becomes a client of the user's record at the queuing service, in place of the record
    /// that it had made for itself, and publishes its packages there: whoever invites the user adds this client, too,
    /// and this client invites the user's friends. The connections' groups stay with the other client.
    ///
    /// # Errors
    /// [`ClientError::Unverified`] where the client that gave it has another key; [`ClientError::State`] where
    /// nothing was given. Transient ones: [`Client::maintain`] does what was left.
    pub async fn accept_provision(
        &self,
        from: Uuid,
        fingerprint: &KeyFingerprint,
    ) -> Result<(), ClientError> {
        self.lock().await.accept_provision(from, fingerprint).await
    }

    /// Renews the credential, for the same key, and publishes packages with it in place of those with the former.
    /// [`Client::maintain`] does so when a third of the validity is left, and lets this client's
    /// leaves in groups follow within the next days.
    ///
    /// # Errors
    /// Those of [`Client`]. Where the credential was renewed, [`Client::maintain`] does the rest.
    pub async fn renew_credential(&self) -> Result<(), ClientError> {
        self.lock().await.renew_credential().await
    }

    /// Until when the credential is valid: its last second. [`Client::maintain`] renews it in time.
    pub async fn valid_until(&self) -> Timestamp {
        let session = self.lock().await;
        Timestamp::from_secs(session.state.account.credential.payload.validity.not_after)
    }

    /// Changes the password: from then on only the new one logs in. Clients that are there stay. May be repeated after
    /// an error that left it open: where the new password is the user's already, it has succeeded.
    ///
    /// # Errors
    /// [`ClientError::WrongPassword`] where the old one is.
    pub async fn change_password(&self, old: &str, new: &str) -> Result<(), ClientError> {
        self.lock().await.change_password(old, new).await
    }

    /// Deletes the user with all that is its own, and revokes its clients, this one among them: nothing can be done
    /// with it any more. The homeserver is told at which domains the user took tokens, and tells those that the
    /// user is gone. Leave groups and delete aliases before: nothing relates
    /// them to the user. Repeated after an error that left it open, `unauthenticated` says that it is done.
    ///
    /// The user's records at queuing services go before it, with all of its clients that share them
    /// ([`Client::accept_provision`]) and their queues. What a queuing service keeps that does not answer ends by itself,
    /// and so does the record of a client that shares none.
    ///
    /// # Errors
    /// [`ClientError::WrongPassword`].
    pub async fn delete_user(&self, password: &str) -> Result<(), ClientError> {
        self.lock().await.delete_user(password).await
    }

    /// Makes an invitation for someone to register here, where the homeserver lets users invite; costs an Alias
    /// token.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with `forbidden` where it does not.
    pub async fn make_invitation(&self) -> Result<Invitation, ClientError> {
        self.lock().await.make_invitation().await
    }

    /// Publishes a profile, encrypted, as a further version. Whoever is to read it gets the key; who holds the key
    /// of the version before can read that one until there is another.
    ///
    /// # Errors
    /// [`ClientError::State`] where it is longer than 64 KiB with its padding.
    pub async fn update_profile(&self, content: &[u8]) -> Result<ProfileKey, ClientError> {
        self.lock().await.update_profile(content).await
    }

    /// The key of the profile that was published last by this client, if one was.
    pub async fn profile_key(&self) -> Option<ProfileKey> {
        self.lock().await.state.profile.clone()
    }

    /// Registers an alias of this domain to be found by. The homeserver learns neither its text nor whose it is.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with `already_exists` where it is taken.
    pub async fn register_alias(&self, alias: &str) -> Result<AliasHash, ClientError> {
        self.lock().await.register_alias(alias).await
    }

    /// Keeps an alias for another year. [`Client::maintain`] does so a month before its end.
    ///
    /// # Errors
    /// [`ClientError::State`] where it is not ours.
    pub async fn renew_alias(&self, alias: &AliasHash) -> Result<(), ClientError> {
        self.lock().await.renew_alias(*alias).await
    }

    /// Gives an alias up: anyone may register it anew.
    ///
    /// # Errors
    /// [`ClientError::State`] where it is not ours.
    pub async fn delete_alias(&self, alias: &AliasHash) -> Result<(), ClientError> {
        self.lock().await.delete_alias(*alias).await
    }

    /// Gets a token that says who the user is to the APIs of these domains' homeservers, 1 to 8 of them, for ten minutes
    /// (05, "DPoP"). Each gets to know the user, and that the others were named.
    ///
    /// # Errors
    /// [`ClientError::State`] for more domains; [`ClientError::Refused`] with `malformed` for none, for one that is named
    /// twice, and where this client's clock is off by more than a minute.
    pub async fn dpop_token(&self, audiences: &[Fqdn]) -> Result<DpopToken, ClientError> {
        self.lock().await.dpop_token(audiences).await
    }

    /// Compares the token keys that a homeserver shows this client with those that it shows on the second path
    /// ([`ClientPorts::witness`](crate::ClientPorts::witness)), where it cannot know who asks. Done by
    /// [`Client::maintain`] once a day, too.
    ///
    /// # Errors
    /// [`ClientError::TokenKeysDiffer`] where they are not the same, or tokens were issued with others: then no
    /// tokens of that homeserver are spent until this succeeds. [`ClientError::State`] without a second path.
    pub async fn check_token_keys(&self, domain: &Fqdn) -> Result<(), ClientError> {
        self.lock().await.check_token_keys(domain).await
    }
}
