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
//! # What an application calls, and when
//!
//! 1. **Once, for a user**: [`Client::register`]. Where it answers [`ClientError::Demanded`], the homeserver asks for
//!    an invitation, work, or something for its operator's judge: put it into the [`Settings`], and call it again.
//! 2. **Once, for each further client of the user**: [`Client::log_in`], with the same password and
//!    [`Settings::stretch`]. Clients of a user have groups and connections each of its own; what they have in common,
//!    one gives the other: [`Client::provision`], [`Client::accept_provision`].
//! 3. **Once, for each client**: [`Client::set_up`]; again after an error, until it succeeds.
//! 4. **All the time**: [`Client::sync`], which waits and tells what happened ([`Event`]). Then [`Client::save`]. Or
//!    [`Client::stream`] and then [`QueueStream::sync`] in its place: entries come sooner, and messages of the moment come
//!    at all.
//! 5. **Every quarter of an hour or so**: [`Client::maintain`]. It keeps tokens in store, renews credential, packages,
//!    aliases, leaves and queue configs in time, commits in each group at least every thirty days, gives groups and
//!    friends what they do not have yet, and asks whose clients were revoked.
//! 6. **As the user wants**: [`Client::connect`] and [`Client::connect_alias`]; [`Client::accept`],
//!    [`Client::decline`] or [`Client::ignore`] for an [`Event::Offer`]; groups ([`Client::invite`], [`Client::remove`],
//!    [`Client::promote`], [`Client::demote`], [`Client::leave`], [`Client::delete_group`]) and messages
//!    ([`Client::send`], [`Client::send_to`], [`Client::send_ephemeral`]); [`Client::report`], [`Client::rule_group`];
//!    [`Client::set_push_token`], [`Client::rotate_friendship`], [`Client::rotate_client_key`],
//!    [`Client::rotate_user_key`], [`Client::replace_configs`], [`Client::move_queue`];
//!    [`Client::update_profile`]; [`Client::register_alias`], [`Client::delete_alias`]; [`Client::change_password`],
//!    [`Client::remove_client`], [`Client::make_invitation`]; in the end [`Client::delete_user`].
//!
//! # What is verified, and what the user must do
//!
//! A homeserver could give out a credential for someone who is not its owner's. The client verifies the chain of each
//! credential and its revocation, and refuses what a homeserver published before something newer. It pins the key of
//! each user it is connected with: another one is told ([`Event::KeyChanged`], and for each group
//! [`Event::MemberKeyChanged`]), and nothing that it says is shown as that user's until [`Client::accept_key`]. Of users
//! that are in a group and no connections, no key is pinned: each message says by which of their clients it is.
//! Only the two users can find out that someone stood between them from the beginning: by comparing
//! [`Client::safety_number`].
//!
//! Each commit, and each proposal in it, is checked against the roles of whoever proposed it. A group whose homeserver
//! let one pass that has no right, forgot what it had accepted, or shows another history than to others, is given up
//! ([`Event::GivenUp`]): nothing is sent to it any more. A client that fell behind comes back by itself
//! ([`Event::Resynced`]). Members who want to be sure that they share one history compare
//! [`Client::epoch_authenticator`].
//!
//! Token keys are the same for everyone, or a homeserver could tell its clients apart by them. A list that changes
//! without another serial is refused; [`ClientPorts::witness`] is a second path by which [`Client::maintain`] compares
//! lists once a day ([`Event::TokenKeysDiffer`]). Tokens are fetched ahead, in batches of one size
//! ([`Habits::batch`]) and some random time after few are left; only where none is left, one is fetched just before it
//! is needed, which tells its homeserver that someone is about to use it.
//!
//! What the homeservers learn is what the specification lets them: the client uses a circuit of its own for its
//! account, its queue and each group, and pays with tokens that nobody can relate to it.

#[cfg(test)]
extern crate self as phoenix_client;

mod account;
mod alias;
mod alias_hash;
mod authority;
mod call;
mod candidate;
mod client;
mod connection;
mod direct;
mod dpop;
mod error;
mod event;
mod fingerprint;
mod further;
mod group;
mod inbox;
mod keys;
mod login;
mod made;
mod mls;
mod moving;
mod news;
mod offer;
mod opaque;
mod outbox;
mod ports;
mod profile;
mod provision;
mod published;
mod qs;
mod record;
mod register;
mod rest;
mod revoked;
mod saved;
mod session;
mod settings;
mod state;
mod sync;
mod table;
#[cfg(test)]
mod tests;
mod token_keys;
mod wallet;
mod work;

pub use alias_hash::alias_hash;
pub use client::{Client, QueueStream};
pub use dpop::DpopToken;
pub use error::{ClientError, Missing};
pub use event::{Audience, Distrust, Event, Message, OfferId};
pub use fingerprint::KeyFingerprint;
pub use group::{Asked, Member, Receipt};
pub use made::{OfferMade, Outcome};
pub use ports::ClientPorts;
pub use profile::ProfileKey;
pub use settings::{Acknowledge, BatchSizes, Habits, Pace, Settings, Stretch};
