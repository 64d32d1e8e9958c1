//! What a user does with its account at the AS (04): its clients, its credential, its password, its end.

use phoenix_core::{
    ErrorCode, Fqdn, Uuid,
    api::{
        Empty,
        auth::{
            ChangePassword, ChangePasswordReply, ChangePasswordRequest, DeleteUser, DeleteUserRequest,
            Invitation, MAX_NOTICES, MakeInvitation, RemoveClient, RemoveClientRequest, RenewCredential,
        },
    },
    credential::{ClientCredential, ExpirationData},
    wire::{Flag, List},
};

use crate::{
    call::{Auth, Route},
    candidate,
    error::ClientError,
    group::Effort,
    opaque::Registration,
    session::Session,
};

impl Session {
    /// Removes a client of our user.
    pub(crate) async fn remove_client(&mut self, client: Uuid, password: &str) -> Result<(), ClientError> {
        self.uncertain = false;
        let removed = self.try_remove(client, password).await;
        let Err(error) = &removed else { return Ok(()) };
        if !self.uncertain || error.is_transient() {
            return removed;
        }
        // A try whose answer was lost may have used up the login, and removed the client: us, or another.
        if client == self.client().client && error.code() == Some(ErrorCode::Unauthenticated) {
            return Ok(());
        }
        match self.try_remove(client, password).await {
            Err(error) if error.code() == Some(ErrorCode::NotFound) => Ok(()),
            other => other,
        }
    }

    async fn try_remove(&mut self, client: Uuid, password: &str) -> Result<(), ClientError> {
        let factor = self.second_factor(password).await?;
        let (route, auth) = self.account_way();
        self.call::<RemoveClient>(&route, Some(&auth), &RemoveClientRequest { factor, client }).await?;
        Ok(())
    }

    /// Renews our credential, for the same key, and replaces what carries the former one (03, "Chain").
    pub(crate) async fn renew_credential(&mut self) -> Result<(), ClientError> {
        let domain = self.domain().clone();
        let authority = self.authority(&domain).await?;
        let csr = candidate::csr(self, &authority)?;
        let (route, auth) = self.account_way();
        let credential = self.call::<RenewCredential>(&route, Some(&auth), &csr).await?;
        self.check_renewed(&credential).await?;
        self.state.account.credential = credential;
        self.state.account.is_renewed = Flag::Yes;
        self.replace_packages().await
    }

    /// Checks that a credential is ours, for the same key, and no shorter than the one that we have: the one that was
    /// asked for, or one that the AS gave before in an answer that was lost.
    async fn check_renewed(&mut self, credential: &ClientCredential) -> Result<(), ClientError> {
        let authority = self.authority_of(credential, Effort::Patient).await?;
        let verified = authority.verify_chain(credential, self.now())?;
        let ends = |it: &ClientCredential| it.payload.validity.not_after;
        let is_ours = verified.client() == self.client() && *verified.key() == self.signer.verifying_key();
        match is_ours && ends(credential) >= ends(&self.state.account.credential) {
            true => Ok(()),
            false => Err(ClientError::Unexpected("another credential than was asked for")),
        }
    }

    /// Publishes packages with the renewed credential in place of those with the former.
    pub(crate) async fn replace_packages(&mut self) -> Result<(), ClientError> {
        if !self.state.account.is_renewed.is_set() {
            return Ok(());
        }
        if self.state.record.is_some() {
            self.publish_connection_packages().await?;
            self.publish_add_packages().await?;
        }
        self.state.account.is_renewed = Flag::No;
        Ok(())
    }

    /// Whether only a third of the credential's validity is left.
    pub(crate) fn is_renewal_due(&self) -> bool {
        let ExpirationData { not_before, not_after } = self.state.account.credential.payload.validity;
        let left = not_after.saturating_sub(self.now().as_secs());
        left.saturating_mul(3) <= not_after.saturating_sub(not_before)
    }

    /// Changes the password.
    pub(crate) async fn change_password(&mut self, old: &str, new: &str) -> Result<(), ClientError> {
        let factor = match self.second_factor(old).await {
            // It may be a repetition after an answer that was lost: then the new password is the one that proves.
            Err(ClientError::WrongPassword) => {
                let proven = self.second_factor(new).await;
                return proven.map(|_| ()).map_err(|_| ClientError::WrongPassword);
            }
            other => other?,
        };
        let (registration, opaque) = Registration::start(new.as_bytes(), self.ports.entropy.clone())?;
        let (route, auth) = self.account_way();
        let begin = ChangePasswordRequest::Begin { factor, opaque };
        let begun = match self.call::<ChangePassword>(&route, Some(&auth), &begin).await? {
            ChangePasswordReply::Begun(begun) => begun,
            ChangePasswordReply::Done => return Err(UNEXPECTED),
        };
        let account = &self.state.account;
        let user = account.client.user.clone();
        let record = registration.finish(new.as_bytes(), &begun.opaque, &user, account.stretch)?;
        let finish = ChangePasswordRequest::Finish { registration: begun.registration, record };
        match self.call::<ChangePassword>(&route, Some(&auth), &finish).await {
            Ok(ChangePasswordReply::Done) => Ok(()),
            Ok(ChangePasswordReply::Begun(_)) => Err(UNEXPECTED),
            // It may be the echo of a try whose answer was lost: then the new password is the one that proves.
            Err(error) if self.uncertain && !error.is_transient() => {
                self.second_factor(new).await.map(|_| ()).map_err(|_| error)
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes our user. The AS is told where we took tokens, since it knows none of those domains: they are to
    /// forget us.
    ///
    /// The records at QSs go first, once the password is known to be right: who is no user any more finds no way back
    /// here after a crash in between.
    pub(crate) async fn delete_user(&mut self, password: &str) -> Result<(), ClientError> {
        self.second_factor(password).await?;
        self.delete_user_records().await;
        self.uncertain = false;
        let is_gone = |it: &Result<(), ClientError>| it.as_ref().is_err_and(ClientError::is_unknown_sender);
        let deleted = self.try_delete(password).await;
        if !self.uncertain || !is_gone(&deleted) {
            return deleted;
        }
        // A try whose answer was lost has deleted us, or used up the login.
        let deleted = self.try_delete(password).await;
        if is_gone(&deleted) { Ok(()) } else { deleted }
    }

    /// With a login of its own: the one before may have ended while QSs did not answer.
    async fn try_delete(&mut self, password: &str) -> Result<(), ClientError> {
        let factor = self.second_factor(password).await?;
        let own = self.domain().clone();
        let mut domains: Vec<Fqdn> = self.state.wallet.domains().filter(|domain| *domain != own).collect();
        domains.truncate(MAX_NOTICES);
        let request = DeleteUserRequest { factor, domains: List::new(domains)? };
        let (route, auth) = self.account_way();
        self.call::<DeleteUser>(&route, Some(&auth), &request).await?;
        Ok(())
    }

    /// Makes an invitation to register.
    pub(crate) async fn make_invitation(&mut self) -> Result<Invitation, ClientError> {
        let (route, auth) = self.account_way();
        self.call::<MakeInvitation>(&route, Some(&auth), &Empty {}).await
    }

    /// Towards our own AS, under our identity.
    pub(crate) fn account_way(&self) -> (Route, Auth) {
        (self.identity_route(self.domain()), self.identity())
    }
}

const UNEXPECTED: ClientError = ClientError::Unexpected("change_password");
