//! The client, as an application holds it.

mod groups;
mod saving;
mod upkeep;

use std::{sync::Arc, time::Duration};

use async_lock::{Mutex, MutexGuard};
use phoenix_core::{
    AliasHash, ClientId, Fqdn, GroupId, UserId,
    token::{Class, Token},
};

use crate::{
    error::ClientError,
    event::{Event, OfferId},
    group::ConnectionState,
    ports::ClientPorts,
    register,
    session::Session,
    settings::Settings,
    sync::Reading,
};

/// One client of one user.
///
/// Cloning gives another handle to the same client. Calls of one client are carried out one after the other; only
/// [`Client::sync`] lets others go ahead while it waits. A call that fails with a transient error
/// ([`ClientError::is_transient`]) may be repeated: what it had begun goes on where it was. A future that is dropped
/// in the middle leaves the client as after such an error.
///
/// What a client knows lives in memory until [`Client::save`] or [`Client::export`].
#[derive(Clone, Debug)]
pub struct Client {
    session: Arc<Mutex<Session>>,
    id: ClientId,
}

impl Client {
    /// Registers a user with its homeserver, and verifies the credential that it gets (OPAQUE, RFC 9807). The
    /// client can receive nothing yet: [`Client::set_up`] does the rest.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with `already_exists` where the user id is taken; [`ClientError::Unverified`] where
    /// the homeserver's keys or the credential do not verify.
    pub async fn register(settings: Settings, ports: ClientPorts) -> Result<Self, ClientError> {
        Ok(Self::from_session(register::register(&settings, ports).await?))
    }

    /// Does what every client needs once: tokens, a queue, and packages by which others reach it and add it to
    /// groups. Safe to repeat.
    ///
    /// # Errors
    /// As of the calls that it makes.
    pub async fn set_up(&self) -> Result<(), ClientError> {
        let mut session = self.lock().await;
        session.create_record().await?;
        session.publish_add_packages().await?;
        session.publish_connection_packages().await
    }

    /// This client.
    #[must_use]
    pub const fn id(&self) -> &ClientId {
        &self.id
    }

    /// This client's user.
    #[must_use]
    pub const fn user(&self) -> &UserId {
        &self.id.user
    }

    /// Makes the pseudonymous record and queue at the QS (06).
    ///
    /// # Errors
    /// As of the calls that it makes.
    pub async fn create_queue(&self) -> Result<(), ClientError> {
        self.lock().await.create_record().await
    }

    /// Publishes fresh AddPackages, by which friends add this client to groups.
    ///
    /// # Errors
    /// As of the calls that it makes.
    pub async fn publish_add_packages(&self) -> Result<(), ClientError> {
        self.lock().await.publish_add_packages().await
    }

    /// Publishes fresh connection packages, by which strangers offer connections.
    ///
    /// # Errors
    /// As of the calls that it makes.
    pub async fn publish_connection_packages(&self) -> Result<(), ClientError> {
        self.lock().await.publish_connection_packages().await
    }

    /// Registers an alias of this domain to be found by. The homeserver learns neither its text nor whose it is.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with `already_exists` where it is taken.
    pub async fn register_alias(&self, alias: &str) -> Result<AliasHash, ClientError> {
        self.lock().await.register_alias(alias).await
    }

    /// Fetches a batch of tokens of a homeserver, ahead of need: fetched just before use, they would tell it who is
    /// about to reach whom.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with `rate_limited` where the allowance is used up.
    pub async fn fetch_tokens(&self, domain: &Fqdn, class: Class) -> Result<(), ClientError> {
        self.lock().await.fetch_tokens(domain, class).await
    }

    /// How many tokens of a homeserver are left.
    pub async fn tokens_left(&self, domain: &Fqdn, class: Class) -> usize {
        self.lock().await.tokens_left(domain, class)
    }

    /// Tops up tokens and packages, and tries again what could not be verified before. To be called now and then, at
    /// times that tell nothing.
    ///
    /// # Errors
    /// As of the calls that it makes.
    pub async fn maintain(&self) -> Result<(), ClientError> {
        self.lock().await.maintain().await
    }

    /// Offers a connection to a user. Answers with the connection group; [`Event::Connected`] tells when the user
    /// has accepted.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with `not_found` where there is no such user; [`ClientError::State`] where the two
    /// are connected already.
    pub async fn connect(&self, user: &UserId) -> Result<GroupId, ClientError> {
        self.lock().await.connect(user).await
    }

    /// Offers a connection to whoever is behind an alias of a domain. [`Event::AliasAnswered`] tells who that is;
    /// then [`Client::confirm`] it.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with `not_found` where there is no such alias.
    pub async fn connect_alias(&self, alias: &str, domain: &Fqdn) -> Result<GroupId, ClientError> {
        self.lock().await.connect_alias(alias, domain).await
    }

    /// Accepts an offer. The connection stands when this returns.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with `not_found` or `conflict` where the offer has ended or someone else was faster.
    pub async fn accept(&self, offer: OfferId) -> Result<GroupId, ClientError> {
        self.lock().await.accept(&offer).await
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

    /// Forgets a group: nothing of it is read any more. The other members are not told.
    pub async fn close(&self, group: &GroupId) {
        self.lock().await.forget(group);
    }

    /// Users that this one is connected with.
    pub async fn connections(&self) -> Vec<UserId> {
        self.lock().await.state.friends.keys().cloned().collect()
    }

    /// Sixty digits that are the same for both users of a connection if nobody stands between them (03).
    ///
    /// # Errors
    /// [`ClientError::State`] where there is no connection.
    pub async fn safety_number(&self, user: &UserId) -> Result<String, ClientError> {
        self.lock().await.safety_number(user)
    }

    /// Reads the queues, and tells what happened; where nothing has, waits for up to `wait`, in whole seconds up to
    /// 30. Each event is told once; the next call says that the application has dealt with them, and until then a state
    /// that is saved holds them.
    ///
    /// # Errors
    /// Transient ones, where nothing happened and a homeserver did not answer to the end.
    pub async fn sync(&self, wait: Duration) -> Result<Vec<Event>, ClientError> {
        let clock = self.lock().await.ports.clock.clone();
        let until = clock.now().plus_millis(u64::from(whole_seconds(wait)) * 1_000);
        self.lock().await.state.outbox.drop_seen();
        let mut read = self.lock().await.poll().await;
        let mut rest_ms = PAUSE_MS;
        loop {
            let mut session = self.lock().await;
            if session.state.outbox.has_news() || wait.is_zero() || clock.now() >= until {
                return session.told(read);
            }
            let (before, began) = (session.progress(), clock.now());
            drop(session);
            let is_retry = read.is_err();
            if !is_retry {
                read = self.wait_for_entries(until.millis_since(began).div_ceil(1_000)).await;
            }
            // Where nothing moves, though nothing was waited for, asking again at once would move nothing either.
            let has_moved = self.lock().await.progress() != before;
            if is_retry || !has_moved && clock.now().millis_since(began) < QUICK_MS {
                clock.sleep_until(until.min(clock.now().plus_millis(rest_ms))).await;
                rest_ms = rest_ms.saturating_mul(2).min(LONGEST_PAUSE_MS);
            }
            if is_retry {
                read = self.lock().await.poll().await;
            }
            if self.lock().await.progress() != before {
                rest_ms = PAUSE_MS;
            }
        }
    }

    /// Takes a token out of the wallet: for calls that the application makes itself, and for tests that misuse one.
    ///
    /// # Errors
    /// As [`Client::fetch_tokens`], where none was left.
    pub async fn take_token(&self, domain: &Fqdn, class: Class) -> Result<Token, ClientError> {
        self.lock().await.take_token(domain, class).await
    }

    /// Waits until one of the queues has an entry, and deals with it. Others may use the client meanwhile.
    async fn wait_for_entries(&self, seconds: u64) -> Result<(), ClientError> {
        let readings = self.lock().await.readings(u8::try_from(seconds).unwrap_or(u8::MAX))?;
        let answer = Reading::first(readings).await;
        let mut session = self.lock().await;
        if let Some(answer) = answer {
            session.absorb(answer)?;
        }
        let processed = session.process_all().await;
        session.expel_unverified().await;
        processed
    }

    fn from_session(session: Session) -> Self {
        let id = session.client().clone();
        Self { session: Arc::new(Mutex::new(session)), id }
    }

    pub(crate) async fn lock(&self) -> MutexGuard<'_, Session> {
        self.session.lock().await
    }
}

/// How long reading rests at first where a homeserver does not answer, or nothing moves.
const PAUSE_MS: u64 = 500;
/// The same, when that has been so for a while.
const LONGEST_PAUSE_MS: u64 = 8_000;
/// What is answered faster did not wait for anything.
const QUICK_MS: u64 = 500;

/// At least one, so that it waits at all; at most 30.
fn whole_seconds(wait: Duration) -> u8 {
    u8::try_from(wait.as_millis().div_ceil(1_000).clamp(1, 30)).unwrap_or(30)
}
