//! The client, as an application holds it.

mod account;
mod groups;
mod people;
mod queue;
mod saving;
mod stream;
mod upkeep;

use std::{sync::Arc, time::Duration};

use async_lock::{Mutex, MutexGuard};
use phoenix_core::{
    ClientId, Fqdn, UserId,
    token::{Class, Token},
};

pub use stream::QueueStream;

use crate::{
    error::ClientError,
    event::Event,
    login,
    ports::ClientPorts,
    register,
    session::Session,
    settings::Settings,
    sync::{Answer, Reading},
};

/// One client of one user.
///
/// Cloning gives another handle to the same client. Calls of one client are carried out one after the other; only
/// [`Client::sync`] lets others go ahead while it waits. A call that fails with a transient error
/// ([`ClientError::is_transient`]) may be repeated: what it had begun goes on where it was. A future that is dropped
/// in the middle leaves the client as after such an error.
///
/// What a client knows lives in memory until [`Client::save`] or [`Client::export`]. One that goes on from a state of
/// before does not know what it did since: it finds out by its queue, and comes back into its groups by itself. Save after
/// each [`Client::sync`], and after what should not have to be done again: an offer that was accepted, a user or alias that
/// was registered, a key that was rotated.
///
/// # Errors
/// Every call that reaches a homeserver may end with these, and its own section names only what else it means:
///
/// - [`ClientError::Unreachable`], where no answer came after all tries of [`Habits::tries`](crate::Habits::tries);
/// - [`ClientError::Refused`] with a code: `rate_limited` and `unavailable` say when to come back; `token_required` and
///   those like it come where tokens could not be had, `unauthenticated` where the homeserver does not know this client,
///   or its clock is wrong;
/// - [`ClientError::Unverified`] and [`ClientError::Unexpected`], where the homeserver answers what it should not: trying
///   again asks it the same;
/// - [`ClientError::TokenKeysDiffer`], where a homeserver's tokens are not used any more;
/// - [`ClientError::Signer`], where the client's key lives elsewhere, and does not sign;
/// - [`ClientError::State`] with a word on why it cannot be done now: no such group, no queue yet ([`Client::set_up`]).
///
/// In a group also [`ClientError::Outrun`], where other members committed first each time ([`Habits::commits`](
/// crate::Habits::commits)): later is as good; and [`ClientError::Mls`], where the group's state is not what it should be.
#[derive(Clone, Debug)]
pub struct Client {
    session: Arc<Mutex<Session>>,
    id: ClientId,
}

impl Client {
    /// Registers a user with its homeserver, and verifies the credential that it gets (OPAQUE, RFC 9807). The
    /// client can receive nothing yet: [`Client::set_up`] does the rest.
    ///
    /// Brings what the homeserver's policy asks for, if the settings do: of several ways to be let in, the first.
    /// Work is done on the caller's thread, a few milliseconds at a time; dropping the call ends it. Repeated after an
    /// error that left it open, it registers another user, since keys and id are fresh each time; a user id that the
    /// settings name may be taken then, by keys that are gone: choose another.
    ///
    /// # Errors
    /// [`ClientError::Demanded`] says what is missing; [`ClientError::Refused`] with `already_exists` where the user id is taken; [`ClientError::Unverified`] where
    /// the homeserver's keys or the credential do not verify.
    pub async fn register(settings: Settings, ports: ClientPorts) -> Result<Self, ClientError> {
        Ok(Self::from_session(register::register(&settings, ports).await?))
    }

    /// Logs in as a further client of a user, whom the settings name; solves the work that is asked for where logins
    /// have failed before. Groups and connections are each client's own; see [`Client::provision`]. Repeated after an
    /// error that left it open, it adds another client: the one that may have been added counts until it is removed.
    ///
    /// # Errors
    /// [`ClientError::WrongPassword`] where user or password is wrong; [`ClientError::TooMuchWork`] where more is
    /// asked for than the settings allow; [`ClientError::Refused`] where the user has ten clients.
    pub async fn log_in(settings: Settings, ports: ClientPorts) -> Result<Self, ClientError> {
        Ok(Self::from_session(login::log_in(&settings, ports).await?))
    }

    /// Does what every client needs once: tokens (05), a queue (06), and packages by which others reach it (04) and add
    /// it to groups (06). Safe to repeat, also after an error in the middle.
    ///
    /// # Errors
    /// Those of [`Client`].
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
    /// Those of [`Client`].
    pub async fn create_queue(&self) -> Result<(), ClientError> {
        self.lock().await.create_record().await
    }

    /// Publishes fresh AddPackages, by which friends add this client to groups.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn publish_add_packages(&self) -> Result<(), ClientError> {
        self.lock().await.publish_add_packages().await
    }

    /// Publishes fresh connection packages, by which strangers offer connections.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn publish_connection_packages(&self) -> Result<(), ClientError> {
        self.lock().await.publish_connection_packages().await
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

    /// Looks after what ends: tops up tokens and packages, renews credential and aliases in time and then, one
    /// in each call and spread over a week, the leaves that show the former credential to groups; asks which clients
    /// were revoked, compares token keys once a day where there is a second path, and tries again what could not be
    /// verified before. To be called now and then, at times that tell nothing: every quarter of an hour will do.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn maintain(&self) -> Result<(), ClientError> {
        self.lock().await.maintain().await
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

    /// Fetches one token of type 0x0001, as any client of the Privacy Pass standard gets them (RFC 9578): to be spent
    /// by the application itself, at a service that takes such tokens (RFC 9577). The client itself never uses them.
    ///
    /// # Errors
    /// As [`Client::fetch_tokens`].
    pub async fn request_token(&self, domain: &Fqdn, class: Class) -> Result<Token, ClientError> {
        self.lock().await.request_token(domain, class).await
    }

    /// Waits until one of the queues has an entry, and deals with it. Others may use the client meanwhile.
    async fn wait_for_entries(&self, seconds: u64) -> Result<(), ClientError> {
        let readings = self.lock().await.readings(u8::try_from(seconds).unwrap_or(u8::MAX))?;
        let answer = Reading::first(readings).await;
        self.deal_with(answer).await
    }

    /// Deals with what was read, and with what waited before.
    async fn deal_with(&self, answer: Option<Answer>) -> Result<(), ClientError> {
        let mut session = self.lock().await;
        if let Some(answer) = answer {
            session.absorb(answer)?;
        }
        let processed = session.process_all().await;
        session.tend_groups().await;
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
