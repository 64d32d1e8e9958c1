//! What the homeserver needs of its surroundings, a trait a file.
//!
//! Every port is object-safe, has at most four methods, and is held as `Arc<dyn …>`: an embedder writes
//! no generic parameter. Time, randomness, storage and network enter through here and nowhere else.

mod clock;
mod compute;
mod entropy;
mod policy;
mod push;
mod reports;
mod store;
mod stream;
mod transport;
mod vault;
mod wake;

use std::sync::Arc;

pub use clock::{Clock, before};
pub use compute::{Compute, Inline, Job, Saturated};
pub use entropy::Entropy;
pub use policy::{OpenPolicy, Policy, Question, Verdict};
pub use push::{NoPush, PUSH_DEADLINE_S, Push, PushNotice, Urgency};
pub use reports::{AbuseReport, Reports};
pub use store::{
    Alarm, Base, Batch, Commit, MAX_BATCH_BYTES, MAX_PARTS, MAX_VALUE, MAX_WRITES, Mark, Part, PartitionKey,
    Place, RowKey, Snapshot, Space, Store, StoreError, Wanted, Write,
};
pub use stream::{StreamTransport, Streaming};
pub use transport::{Circuit, Outgoing, Transport, TransportError};
pub use vault::{Vault, VaultError};
pub use wake::{LocalWake, Topic, Wake, Wakened};

/// All ports of one homeserver.
#[derive(Clone)]
pub struct Ports {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// Other homeservers.
    pub transport: Arc<dyn Transport>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Wake-ups of long polls and streams.
    pub wake: Arc<dyn Wake>,
    /// Wake-ups of clients that are not connected.
    pub push: Arc<dyn Push>,
    /// Threads for heavy computations.
    pub compute: Arc<dyn Compute>,
    /// Limits and verdicts.
    pub policy: Arc<dyn Policy>,
}
