//! Aliases of our own: registered and served under keys that nothing relates to us (04).

use std::sync::Arc;

use phoenix_core::{
    AliasHash, ErrorCode,
    api::{
        Empty,
        auth::{
            AliasDelete, AliasPublishPackages, AliasPublishRequest, AliasRegister, AliasRegisterRequest,
            AliasRenew,
        },
    },
    crypto::{HpkeSecretKey, SigningKey, sha256},
    port::Circuit,
    time::DAY,
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
                self.mark_alias(hash);
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
            expires: 0,
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
                self.mark_alias(hash);
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

    /// The AS surely has the alias; for a year, where that is news.
    fn mark_alias(&mut self, hash: AliasHash) {
        let expires = self.now().as_secs().saturating_add(LIFETIME);
        if let Some(alias) = self.state.aliases.get_mut(&hash).filter(|it| !it.is_registered.is_set()) {
            alias.is_registered = Flag::Yes;
            alias.expires = expires;
        }
    }

    /// Keeps an alias for another year.
    pub(crate) async fn renew_alias(&mut self, hash: AliasHash) -> Result<(), ClientError> {
        let (route, auth) = self.alias_way(hash)?;
        let expires = self.now().as_secs().saturating_add(LIFETIME);
        self.call::<AliasRenew>(&route, Some(&auth), &Empty {}).await?;
        if let Some(alias) = self.state.aliases.get_mut(&hash) {
            alias.expires = expires;
        }
        Ok(())
    }

    /// Gives an alias up, with its packages and its queue.
    pub(crate) async fn delete_alias(&mut self, hash: AliasHash) -> Result<(), ClientError> {
        let (route, auth) = self.alias_way(hash)?;
        match self.call::<AliasDelete>(&route, Some(&auth), &Empty {}).await {
            Ok(_) => {}
            // It has ended, or a try whose answer was lost has deleted it: nobody knows its key any more.
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
        self.forget_alias(hash);
        Ok(())
    }

    fn forget_alias(&mut self, hash: AliasHash) {
        self.state.aliases.remove(&hash);
        self.state.doors.retain(|_, door| door.alias != Some(hash));
    }

    /// Renews the aliases that end within a month, and publishes packages anew for those whose packages do. Those that
    /// the AS has no more are forgotten.
    ///
    /// # Errors
    /// That of the first alias that could not be kept.
    pub(crate) async fn keep_aliases(&mut self) -> Result<(), ClientError> {
        let soon = self.now().as_secs().saturating_add(MARGIN);
        let registered = self.state.aliases.iter().filter(|(_, alias)| alias.is_registered.is_set());
        let registered: Vec<_> = registered.map(|(hash, it)| (*hash, it.expires)).collect();
        let mut first = Ok(());
        for (hash, expires) in registered {
            match self.keep_alias(hash, expires <= soon, soon).await {
                Err(error) if is_gone(&error) => self.forget_alias(hash),
                kept => first = first.and(kept),
            }
        }
        first
    }

    async fn keep_alias(&mut self, hash: AliasHash, is_ending: bool, soon: u64) -> Result<(), ClientError> {
        if is_ending {
            self.renew_alias(hash).await?;
        }
        if self.doors_end_by(Some(hash), soon) {
            self.publish_alias_packages(hash).await?;
        }
        Ok(())
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

fn is_gone(error: &ClientError) -> bool {
    matches!(error.code(), Some(ErrorCode::Unauthenticated | ErrorCode::NotFound))
}

/// How long the AS keeps an alias that is not renewed (04): a year, as it says.
const LIFETIME: u64 = 365 * DAY;
/// How long before its end something is renewed: who is away for a month comes back in time.
const MARGIN: u64 = 30 * DAY;

const NO_ALIAS: ClientError = ClientError::State("no such alias");
