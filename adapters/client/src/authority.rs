//! What other homeservers publish, fetched, checked and kept for a while.

use phoenix_core::{
    Fqdn, Timestamp,
    api::{
        Empty,
        auth::AsCredentials,
        delivery::{DsKeys, DsPublicKeys},
        queue::{QsKeys, SealingKey},
    },
    credential::{AsIdentity, AsKeys, ClientCredential, VerifiedClientCredential},
    port::TransportError,
    time::{DAY, HOUR},
};

use crate::{error::ClientError, session::Session};

/// An AS's keys, and when they were fetched.
#[derive(Debug)]
pub(crate) struct Known {
    keys: AsKeys,
    fetched: Timestamp,
}

impl Session {
    /// The keys of a domain's AS, checked, at most an hour old; a day where it does not answer.
    pub(crate) async fn authority(&mut self, domain: &Fqdn) -> Result<AsKeys, ClientError> {
        if let Some(keys) = self.known(domain, HOUR) {
            return Ok(keys);
        }
        let route = self.fresh_route(domain);
        match self.call_free::<AsCredentials>(&route, None, &Empty {}).await {
            Ok(identity) => self.keep_authority(domain, identity),
            Err(error) if error.is_transient() => self.known(domain, DAY).ok_or(error),
            Err(error) => Err(error),
        }
    }

    /// As [`Session::authority`], where someone else makes us ask: once, and not again soon where nobody answers, so
    /// that naming a domain that does not answer holds up nothing else.
    pub(crate) async fn authority_in_passing(&mut self, domain: &Fqdn) -> Result<AsKeys, ClientError> {
        if let Some(keys) = self.known(domain, HOUR) {
            return Ok(keys);
        }
        let now = self.now();
        let error = ClientError::Unreachable(TransportError::Unreachable);
        if self.silent.is_resting(domain, now) {
            return self.known(domain, DAY).ok_or(error);
        }
        let route = self.fresh_route(domain);
        match self.call_once::<AsCredentials>(&route, &Empty {}).await {
            Ok(identity) => {
                self.silent.succeeded(domain);
                self.keep_authority(domain, identity)
            }
            Err(error) => {
                self.silent.failed(domain.clone(), now);
                self.known(domain, DAY).ok_or(error)
            }
        }
    }

    /// Verifies a client's credential with the keys of its own AS, as of `at` (03, "Verification").
    pub(crate) async fn verify_client(
        &mut self,
        credential: &ClientCredential,
        at: Timestamp,
    ) -> Result<VerifiedClientCredential, ClientError> {
        let keys = self.authority_in_passing(&credential.payload.client.user.domain).await?;
        Ok(keys.verify_chain(credential, at)?)
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
        let route = self.fresh_route(&self.domain().clone());
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

    fn known(&self, domain: &Fqdn, oldest_s: u64) -> Option<AsKeys> {
        let now = self.now();
        let known = self.authorities.get(domain)?;
        let is_fresh = now.millis_since(known.fetched) <= oldest_s.saturating_mul(1_000);
        (is_fresh && now < known.keys.expires()).then(|| known.keys.clone())
    }

    fn keep_authority(&mut self, domain: &Fqdn, identity: AsIdentity) -> Result<AsKeys, ClientError> {
        let now = self.now();
        let keys = AsKeys::verify(identity.clone(), domain, now)?;
        let former = self.state.authorities.get(domain).cloned();
        let former = former.and_then(|former| AsKeys::verify(former, domain, now).ok());
        if former.is_some_and(|former| !former.accepts_successor(&keys)) {
            return Err(ClientError::Unexpected("the AS went back to older keys"));
        }
        self.state.authorities.insert(domain.clone(), identity);
        self.authorities.insert(domain.clone(), Known { keys: keys.clone(), fetched: now });
        Ok(keys)
    }
}
