//! Saving a client's state, and going on from it.

use std::sync::Arc;

use bytes::Bytes;
use phoenix_core::{
    crypto::{AtRestKey, Signer},
    port::{
        Alarm, Base, Batch, Commit, MAX_VALUE, Mark, Part, PartitionKey, Place, Space, Store, Wanted, Write,
    },
    wire::Wire,
};
use zeroize::Zeroizing;

use crate::{
    error::ClientError,
    mls::provider::Stored,
    ports::ClientPorts,
    session::Session,
    settings::Habits,
    state::{State, VERSION},
};

impl Session {
    /// The whole state, sealed.
    pub(crate) fn export(&mut self, key: &AtRestKey) -> Bytes {
        self.mark_exported();
        self.state.mls = self.provider.stored();
        let encoded = self.state.encode_secret();
        self.state.mls = Stored::default();
        key.seal(RECORD, &encoded, &mut self.chance)
    }

    /// Goes on from a sealed state.
    pub(crate) fn import(
        sealed: &[u8],
        key: &AtRestKey,
        ports: ClientPorts,
        habits: Habits,
        signer: Option<Arc<dyn Signer>>,
    ) -> Result<Self, ClientError> {
        let opened = key.open(RECORD, sealed).map_err(|_| ClientError::Saved("sealed with another key"))?;
        if opened.first() != Some(&VERSION) {
            return Err(ClientError::Saved("of another version"));
        }
        let state = State::decode(&opened).map_err(|_| ClientError::Saved("damaged"))?;
        let signer = match (&state.account.key, signer) {
            (Some(key), _) => Arc::new(key.clone()),
            (None, Some(signer)) => signer,
            (None, None) => return Err(ClientError::Saved("its signing key lives elsewhere")),
        };
        if signer.verifying_key() != state.account.credential.payload.key {
            return Err(ClientError::Saved("of another signing key"));
        }
        let mut session = Self::new(ports, habits, signer, state);
        session.unsure_purses = session.state.wallet.known();
        // It could be read, so it was written.
        session.mark_exported();
        session.confirm_export();
        Ok(session)
    }

    /// Writes the sealed state into a store, in place of the former one.
    pub(crate) async fn save(
        &mut self,
        store: &dyn Store,
        name: &[u8],
        key: &AtRestKey,
    ) -> Result<(), ClientError> {
        let sealed = self.export(key);
        let rows = sealed.chunks(MAX_VALUE).zip(0_u32..);
        let puts = rows.map(|(chunk, number)| {
            Write::Put(Bytes::copy_from_slice(&number.to_be_bytes()), Bytes::copy_from_slice(chunk))
        });
        let part = Part {
            partition: partition(name),
            base: Base::Any,
            mark: Mark(self.chance.bytes()),
            writes: std::iter::once(Write::Drop).chain(puts).collect(),
            alarm: Alarm::Keep,
        };
        match store.commit(&Batch { parts: vec![part] }).await {
            Ok(Commit::Done) => {
                self.confirm_export();
                Ok(())
            }
            Ok(Commit::Conflict) | Err(_) => Err(ClientError::Saved("the store did not take it")),
        }
    }
}

/// Reads what [`Session::save`] wrote.
pub(crate) async fn read(store: &dyn Store, name: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, ClientError> {
    let place = Place { partition: partition(name), wanted: Wanted::first(MAX_CHUNKS) };
    let found = store.read(&[place]).await.map_err(|_| ClientError::Saved("the store did not answer"))?;
    let rows = found.into_iter().next().map(|snapshot| snapshot.rows).unwrap_or_default();
    if rows.is_empty() {
        return Ok(None);
    }
    let mut sealed = Zeroizing::new(Vec::new());
    rows.iter().for_each(|(_, chunk)| sealed.extend_from_slice(chunk));
    Ok(Some(sealed))
}

fn partition(name: &[u8]) -> PartitionKey {
    PartitionKey::new(Space::Peers, [b"phoenix client ", name].concat().into())
}

/// What the state is sealed as.
const RECORD: &[u8] = b"phoenix client state";
/// Chunks of one state: more than a batch of a store may hold.
const MAX_CHUNKS: u32 = 1_024;
