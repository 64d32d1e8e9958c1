//! The reference client of Phoenix.
//!
//! A [`Client`] is one device of one user. It registers with its homeserver, connects with other users on whichever
//! homeserver, makes groups, sends and receives. It needs three ports ([`ClientPorts`]): a transport, a clock and
//! randomness; it starts no threads and no tasks, and works on any executor.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use phoenix_client::{Client, ClientError, ClientPorts, Event, Settings};
//! use phoenix_core::UserId;
//!
//! async fn say_hello(ports: ClientPorts, friend: UserId) -> Result<(), ClientError> {
//!     let domain = "chat.example.org".parse()?;
//!     let client = Client::register(Settings::new(domain, "correct horse"), ports).await?;
//!     client.set_up().await?;
//!     client.connect(&friend).await?;
//!     loop {
//!         for event in client.sync(Duration::from_secs(30)).await? {
//!             if let Event::Connected { user, .. } = event {
//!                 let group = client.create_group().await?;
//!                 client.invite(&group, &[user]).await?;
//!                 client.send(&group, "Hello!").await?;
//!             }
//!         }
//!     }
//! }
//! ```
//!
//! What the homeservers learn is what the specification lets them: the client uses a circuit of its own for its
//! account, its queue and each group, and pays with tokens that nobody can relate to it.

#[cfg(test)]
extern crate self as phoenix_client;

mod alias;
mod alias_hash;
mod authority;
mod call;
mod client;
mod connection;
mod error;
mod event;
mod group;
mod inbox;
mod mls;
mod offer;
mod opaque;
mod outbox;
mod ports;
mod record;
mod register;
mod rest;
mod saved;
mod session;
mod settings;
mod state;
mod sync;
mod table;
#[cfg(test)]
mod tests;
mod wallet;

pub use alias_hash::alias_hash;
pub use client::Client;
pub use error::ClientError;
pub use event::{Event, Message, OfferId};
pub use group::{Member, Receipt};
pub use ports::ClientPorts;
pub use settings::{Acknowledge, BatchSizes, Habits, Settings, Stretch};
