//! Saving a client and going on from it.

use std::sync::Arc;

use bytes::Bytes;
use phoenix_core::{
    crypto::{AtRestKey, Signer},
    port::Store,
};

use super::Client;
use crate::{error::ClientError, ports::ClientPorts, saved, session::Session, settings::Habits};

impl Client {
    /// The whole state, sealed with a key of the embedder's. With [`Acknowledge::Saved`](crate::Acknowledge::Saved),
    /// the homeserver keeps what this state holds until [`Client::confirm_export`].
    pub async fn export(&self, key: &AtRestKey) -> Bytes {
        self.lock().await.export(key)
    }

    /// The state that was exported last is stored safely: with [`Acknowledge::Saved`](crate::Acknowledge::Saved), the
    /// homeserver may delete what it holds. [`Client::save`] needs no confirmation.
    pub async fn confirm_export(&self) {
        self.lock().await.confirm_export();
    }

    /// Goes on from an exported state. The signer is needed where the client's key lives elsewhere. Of one state,
    /// only one client must ever go on: two would use the same keys twice.
    ///
    /// # Errors
    /// [`ClientError::Saved`] where the state cannot be read.
    pub fn import(
        sealed: &[u8],
        key: &AtRestKey,
        ports: ClientPorts,
        habits: Habits,
        signer: Option<Arc<dyn Signer>>,
    ) -> Result<Self, ClientError> {
        Ok(Self::from_session(Session::import(sealed, key, ports, habits, signer)?))
    }

    /// Writes the sealed state into a store, under a name, in place of the former one.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use phoenix_client::{Acknowledge, Client, ClientError, ClientPorts, Habits, Settings};
    /// use phoenix_core::{crypto::AtRestKey, port::Store};
    ///
    /// async fn run(store: &dyn Store, key: &AtRestKey, ports: ClientPorts) -> Result<(), ClientError> {
    ///     // What was read is deleted once it was saved, and not before.
    ///     let habits = Habits { acknowledge: Acknowledge::Saved, ..Habits::default() };
    ///     let loaded = Client::load((store, b"me"), key, ports.clone(), habits, None).await?;
    ///     let client = match loaded {
    ///         Some(client) => client,
    ///         None => {
    ///             let mut settings = Settings::new("chat.example.org".parse()?, "correct horse");
    ///             settings.habits = habits;
    ///             let client = Client::register(settings, ports).await?;
    ///             client.save(store, b"me", key).await?;
    ///             // Again, at a later start, where it did not succeed.
    ///             client.set_up().await?;
    ///             client
    ///         }
    ///     };
    ///     loop {
    ///         match client.sync(Duration::from_secs(30)).await {
    ///             Ok(events) => events.iter().for_each(|event| println!("{event:?}")),
    ///             Err(error) if error.is_transient() => {}
    ///             Err(error) => return Err(error),
    ///         }
    ///         client.save(store, b"me", key).await?;
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Saved`] where the store does not take it.
    pub async fn save(&self, store: &dyn Store, name: &[u8], key: &AtRestKey) -> Result<(), ClientError> {
        self.lock().await.save(store, name, key).await
    }

    /// Goes on from a state in a store; none where there is none. See [`Client::import`].
    ///
    /// # Errors
    /// [`ClientError::Saved`] where the state cannot be read.
    pub async fn load(
        (store, name): (&dyn Store, &[u8]),
        key: &AtRestKey,
        ports: ClientPorts,
        habits: Habits,
        signer: Option<Arc<dyn Signer>>,
    ) -> Result<Option<Self>, ClientError> {
        let Some(sealed) = saved::read(store, name).await? else { return Ok(None) };
        Self::import(&sealed, key, ports, habits, signer).map(Some)
    }
}
