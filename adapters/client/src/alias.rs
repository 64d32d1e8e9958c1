//! Aliases of our own: registered and served under keys that nothing relates to us (04).

use std::sync::Arc;

use phoenix_core::{
    AliasHash, ErrorCode,
    api::auth::{AliasPublishPackages, AliasPublishRequest, AliasRegister, AliasRegisterRequest},
    crypto::{HpkeSecretKey, SigningKey, sha256},
    port::Circuit,
    wire::{Flag, List, Sender, Wire},
};

use crate::{
    alias_hash::alias_hash,
    call::{Auth, Route},
    error::ClientError,
    inbox::Inbox,
    session::Session,
    state::{Alias, Door},
};

impl Session {
    /// Registers an alias and publishes connection packages for it; nothing relates it to us. Its keys are kept before
    /// it is asked for: a try whose answer was lost may have succeeded, and then the alias is ours by them alone.
    pub(crate) async fn register_alias(&mut self, alias: &str) -> Result<AliasHash, ClientError> {
        let hash = alias_hash(alias, &self.domain().clone())?;
        let is_repeated = self.state.aliases.contains_key(&hash);
        if !is_repeated {
            let record = self.make_alias();
            self.state.aliases.insert(hash, record);
        }
        let claimed = self.claim_alias(hash, is_repeated).await;
        let done = match claimed {
            Ok(()) => self.publish_alias_packages(hash).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => {
                if let Some(alias) = self.state.aliases.get_mut(&hash) {
                    alias.is_registered = Flag::Yes;
                }
                Ok(hash)
            }
            Err(error) => {
                let is_ours = self.state.aliases.get(&hash).is_some_and(|it| it.is_registered.is_set());
                if !error.is_transient() && !is_ours {
                    self.state.aliases.remove(&hash);
                }
                Err(error)
            }
        }
    }

    fn make_alias(&mut self) -> Alias {
        let suite = self.state.account.suite;
        Alias {
            key: SigningKey::generate(suite, &mut self.chance),
            circuit: self.fresh_circuit(),
            inbox: Inbox::new(HpkeSecretKey::generate(suite, &mut self.chance)),
            is_registered: Flag::No,
        }
    }

    async fn claim_alias(&mut self, hash: AliasHash, is_repeated: bool) -> Result<(), ClientError> {
        let record = self.state.aliases.get(&hash).ok_or(NO_ALIAS)?;
        if record.is_registered.is_set() {
            return Ok(());
        }
        let (auth_key, queue_key) = (record.key.verifying_key(), record.inbox.key().clone());
        let auth = Auth::new(Sender::NewKey(auth_key.clone()), Arc::new(record.key.clone()));
        let route = Route { domain: self.domain().clone(), circuit: Circuit(record.circuit) };
        let request = AliasRegisterRequest { alias: hash, auth_key, queue_key };
        match self.call::<AliasRegister>(&route, Some(&auth), &request).await {
            Ok(_) => {
                if let Some(alias) = self.state.aliases.get_mut(&hash) {
                    alias.is_registered = Flag::Yes;
                }
                Ok(())
            }
            // Perhaps the echo of a try whose answer was lost: whether it is ours, publishing tells.
            Err(error)
                if error.code() == Some(ErrorCode::AlreadyExists) && (self.uncertain || is_repeated) =>
            {
                self.prove_alias(hash, error).await
            }
            Err(error) => Err(error),
        }
    }

    async fn prove_alias(&mut self, hash: AliasHash, taken: ClientError) -> Result<(), ClientError> {
        match self.publish_alias_packages(hash).await {
            Err(error) if !error.is_transient() => Err(taken),
            other => other,
        }
    }

    /// Publishes fresh connection packages of an alias in place of those there.
    pub(crate) async fn publish_alias_packages(&mut self, alias: AliasHash) -> Result<(), ClientError> {
        let mut packages = Vec::new();
        for _ in 0..self.habits.connection_packages.clamp(1, 100) {
            let (key, payload) = self.make_door(u64::MAX)?;
            let not_after = payload.lifetime.not_after;
            self.state.doors.insert(sha256(&payload.encode()), Door { key, alias: Some(alias), not_after });
            packages.push(payload);
        }
        let (route, auth) = self.alias_way(alias)?;
        let request = AliasPublishRequest { packages: List::new(packages)? };
        self.call::<AliasPublishPackages>(&route, Some(&auth), &request).await?;
        Ok(())
    }

    /// How an alias of ours calls the AS: its own circuit, its own key.
    pub(crate) fn alias_way(&self, alias: AliasHash) -> Result<(Route, Auth), ClientError> {
        let record = self.state.aliases.get(&alias).ok_or(NO_ALIAS)?;
        let route = Route { domain: self.domain().clone(), circuit: Circuit(record.circuit) };
        Ok((route, Auth::new(Sender::Alias(alias), Arc::new(record.key.clone()))))
    }
}

const NO_ALIAS: ClientError = ClientError::State("no such alias");
