//! What other homeservers publish, fetched, checked and kept for a while.

use phoenix_core::{
    Fqdn, Timestamp,
    api::{
        Empty, Endpoint,
        auth::{AsCredentials, RevokedSince},
        delivery::{DsKeys, DsPublicKeys},
        queue::{QsKeys, SealingKey},
    },
    credential::{AsIdentity, AsKeys, ClientCredential, ClientCredentialPayload, VerifiedClientCredential},
    port::TransportError,
    time::{DAY, HOUR, MINUTE},
};

use crate::{error::ClientError, group::Effort, published::Published, session::Session};

/// An AS's keys, and when they were fetched.
#[derive(Debug)]
pub(crate) struct Known {
    keys: AsKeys,
    pub(crate) fetched: Timestamp,
}

impl Session {
    /// The keys of a domain's AS, checked, at most an hour old; a day where it does not answer.
    pub(crate) async fn authority(&mut self, domain: &Fqdn) -> Result<AsKeys, ClientError> {
        if let Some(keys) = self.known(domain, HOUR) {
            return Ok(keys);
        }
        match self.fetch_authority(domain, Effort::Patient).await {
            Err(error) if error.is_transient() => self.known(domain, DAY).ok_or(error),
            other => other,
        }
    }

    /// As [`Session::authority`], where someone else makes us ask: once, and not again soon where nobody answers, so
    /// that naming a domain that does not answer holds up nothing else.
    pub(crate) async fn authority_in_passing(&mut self, domain: &Fqdn) -> Result<AsKeys, ClientError> {
        self.authority_at_most(domain, HOUR).await
    }

    async fn authority_at_most(&mut self, domain: &Fqdn, oldest_s: u64) -> Result<AsKeys, ClientError> {
        if let Some(keys) = self.known(domain, oldest_s) {
            return Ok(keys);
        }
        match self.ask::<AsCredentials>(domain, &Empty {}, Effort::Passing).await {
            Ok(identity) => self.keep_authority(domain, identity),
            Err(error) => self.known(domain, DAY).ok_or(error),
        }
    }

    /// Asks a homeserver something on a way of its own, under no identity. In passing, only once, and not while one
    /// rests that did not answer.
    async fn ask<E: Endpoint>(
        &mut self,
        domain: &Fqdn,
        request: &E::Request,
        effort: Effort,
    ) -> Result<E::Reply, ClientError> {
        let route = self.fresh_route(domain);
        if effort == Effort::Patient {
            return self.call_free::<E>(&route, None, request).await;
        }
        let now = self.now();
        if self.silent.is_resting(domain, now) {
            return Err(ClientError::Unreachable(TransportError::Unreachable));
        }
        let reply = self.call_once::<E>(&route, request).await;
        match &reply {
            Err(error) if error.is_transient() => self.silent.failed(domain.clone(), now),
            Ok(_) | Err(_) => self.silent.succeeded(domain),
        }
        reply
    }

    /// Asks a domain's AS what it has revoked since we asked last, and for all that it publishes where that is
    /// anything, or an hour has passed.
    pub(crate) async fn check_authority(&mut self, domain: &Fqdn, effort: Effort) -> Result<(), ClientError> {
        if self.known(domain, HOUR).is_some() && !self.has_news(domain, effort).await? {
            return Ok(());
        }
        self.fetch_authority(domain, effort).await.map(|_| ())
    }

    /// Whether an AS has revoked anything since. What it says is not used for anything else, and so not verified:
    /// what it publishes in whole is.
    async fn has_news(&mut self, domain: &Fqdn, effort: Effort) -> Result<bool, ClientError> {
        let Some(known) = self.state.authorities.get(domain) else { return Ok(true) };
        let Published { list, statement, .. } = *known;
        match self.ask::<RevokedSince>(domain, &list, effort).await {
            Ok(news) => Ok(news.delta.payload.serial != list || news.statement.payload.serial != statement),
            Err(error) if error.is_transient() => Err(error),
            // It cannot tell from so far back.
            Err(_) => Ok(true),
        }
    }

    /// The keys of a credential's AS, asked for again, at most once a minute, where those that we have do not hold
    /// the intermediate that signed it: it may have been rotated since.
    pub(crate) async fn authority_of(
        &mut self,
        credential: &ClientCredential,
        effort: Effort,
    ) -> Result<AsKeys, ClientError> {
        let domain = &credential.payload.client.user.domain;
        let keys = match (self.can_judge(credential), effort) {
            (true, Effort::Patient) => self.authority(domain).await?,
            (false, Effort::Patient) => self.fetch_authority(domain, effort).await?,
            (true, Effort::Passing) => self.authority_in_passing(domain).await?,
            (false, Effort::Passing) => self.authority_at_most(domain, MINUTE).await?,
        };
        // Old keys say nothing about who came since.
        let is_told = self.can_judge(credential);
        is_told.then_some(keys).ok_or(ClientError::Unreachable(TransportError::Unreachable))
    }

    /// Whether what we know of a credential's AS holds what signed it, or is fresh.
    fn can_judge(&self, credential: &ClientCredential) -> bool {
        let ClientCredentialPayload { client, signer, .. } = &credential.payload;
        let domain = &client.user.domain;
        let has_signer = |keys: AsKeys| {
            keys.identity().intermediates.iter().any(|intermediate| intermediate.fingerprint() == *signer)
        };
        self.known(domain, MINUTE).is_some() || self.known(domain, DAY).is_some_and(has_signer)
    }

    /// Verifies a client's credential with the keys of its own AS, as of `at` (03, "Verification").
    pub(crate) async fn verify_client(
        &mut self,
        credential: &ClientCredential,
        at: Timestamp,
    ) -> Result<VerifiedClientCredential, ClientError> {
        let keys = self.authority_of(credential, Effort::Passing).await?;
        let verified = keys.verify_chain(credential, at)?;
        self.note_credential(&verified);
        Ok(verified)
    }

    /// Verifies the credential of someone who offers a connection, as of now, with keys that are a minute old at
    /// most: whoever was removed must not be let in meanwhile.
    pub(crate) async fn verify_stranger(
        &mut self,
        credential: &ClientCredential,
    ) -> Result<VerifiedClientCredential, ClientError> {
        let keys = self.authority_at_most(&credential.payload.client.user.domain, MINUTE).await?;
        let verified = keys.verify_chain(credential, self.now())?;
        self.note_credential(&verified);
        Ok(verified)
    }

    /// The key that queue configs are sealed to: the one of our QS that is valid longest, at most a day old. It is
    /// asked for on a way of its own: just before a group is made or joined, our queue's would join the two.
    pub(crate) async fn queue_config_key(&mut self) -> Result<SealingKey, ClientError> {
        let now = self.now();
        let is_usable = |key: &SealingKey| key.not_before <= now.as_secs() && now.as_secs() <= key.not_after;
        if let Some((key, fetched)) = &self.config_key
            && is_usable(key)
            && now < fetched.plus_secs(DAY)
        {
            return Ok(key.clone());
        }
        let route = self.fresh_route(&self.record()?.domain().clone());
        let keys = self.call_free::<QsKeys>(&route, None, &Empty {}).await?.queue_config;
        let usable = keys.into_iter().filter(is_usable).max_by_key(|key| key.not_after);
        let key = usable.ok_or(ClientError::Unexpected("no queue config key"))?;
        self.config_key = Some((key.clone(), now));
        Ok(key)
    }

    /// The published keys of a domain's DS, asked for on a way of its own.
    pub(crate) async fn ds_keys(&mut self, domain: &Fqdn) -> Result<DsPublicKeys, ClientError> {
        let route = self.fresh_route(domain);
        self.call_free::<DsKeys>(&route, None, &Empty {}).await
    }

    /// The keys of a domain's AS that were checked so many seconds ago at most.
    pub(crate) fn known(&self, domain: &Fqdn, oldest_s: u64) -> Option<AsKeys> {
        let now = self.now();
        let known = self.authorities.get(domain)?;
        let is_fresh = now.millis_since(known.fetched) <= oldest_s.saturating_mul(1_000);
        (is_fresh && now < known.keys.expires()).then(|| known.keys.clone())
    }

    pub(crate) async fn fetch_authority(
        &mut self,
        domain: &Fqdn,
        effort: Effort,
    ) -> Result<AsKeys, ClientError> {
        let identity = self.ask::<AsCredentials>(domain, &Empty {}, effort).await?;
        self.keep_authority(domain, identity)
    }

    fn keep_authority(&mut self, domain: &Fqdn, identity: AsIdentity) -> Result<AsKeys, ClientError> {
        let now = self.now();
        let keys = AsKeys::verify(identity, domain, now)?;
        if self.state.authorities.get(domain).is_some_and(|former| !former.accepts(&keys)) {
            return Err(ClientError::Unexpected("the AS went back to older keys"));
        }
        self.state.authorities.insert(domain.clone(), Published::of(keys.identity()));
        self.authorities.insert(domain.clone(), Known { keys: keys.clone(), fetched: now });
        self.forget_authorities(domain);
        self.note_revocations(&keys);
        Ok(keys)
    }
}
