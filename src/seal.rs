//! How the key of the homeserver's secrets is kept (09, "Secrets").
//!
//! One random root key seals everything. The store holds it wrapped: under the operator's key, or by a vault, or, where
//! the operator keeps neither, as it is. So another operator key costs one row, and a vault is asked once at a start.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use phoenix_core::{
    Fault,
    crypto::{AtRestKey, Chance},
    port::{Ports, RowKey, Snapshot, Vault, VaultError, before},
    wire::Secret,
};

use crate::BuildError;

/// The key under which the operator has the homeserver's secrets sealed. Without it the store is worth little
/// to a thief; lost, the homeserver's identity is lost.
#[derive(Clone, Debug)]
pub struct OperatorKey(Secret<32>);

impl OperatorKey {
    /// Takes 32 random bytes.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self(Secret::new(key))
    }
}

/// What the key of a homeserver's secrets is kept under.
#[derive(Clone)]
pub enum Seal {
    /// Nothing: the secrets lie open in the store.
    Open,
    /// The operator's key.
    Key(OperatorKey),
    /// A vault.
    Vault(Arc<dyn Vault>),
}

/// How a store's secrets are sealed, where what was given to open them is something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealedBy {
    /// They lie open.
    #[error("lie open, so that no key and no vault opens them: start without, and reseal them")]
    Nothing,
    /// An operator key.
    #[error("are sealed under an operator key, which was not given")]
    Key,
    /// A vault.
    #[error("are sealed by a vault, which was not given")]
    Vault,
}

impl Seal {
    /// The row that holds the root key, wrapped.
    pub(crate) async fn wrap(
        &self,
        root: &AtRestKey,
        ports: &Ports,
        chance: &mut Chance,
    ) -> Result<(RowKey, Bytes), VaultError> {
        let secret = root.to_secret_bytes();
        Ok(match self {
            Self::Open => (Bytes::from_static(PLAIN), Bytes::copy_from_slice(secret.expose())),
            Self::Key(OperatorKey(key)) => {
                let sealed = AtRestKey::new(key.clone()).seal(SEALED, secret.expose(), chance);
                (Bytes::from_static(SEALED), sealed)
            }
            Self::Vault(vault) => {
                let wrapped = in_time(ports, vault.wrap(secret)).await?;
                if wrapped.len() > MAX_WRAPPED {
                    return Err(VaultError::Broken("it wrapped a key of 32 bytes into more than 4 KiB"));
                }
                // Before anything hangs on it: what does not come back would be lost with the next start.
                if in_time(ports, vault.unwrap(&wrapped)).await? != *secret {
                    return Err(VaultError::Broken("it unwrapped another key than it had wrapped"));
                }
                (Bytes::from_static(WRAPPED), wrapped)
            }
        })
    }

    /// The root key that a store holds.
    pub(crate) async fn unwrap(&self, found: &Snapshot, ports: &Ports) -> Result<AtRestKey, BuildError> {
        // Each form has a row of its own, so that none is taken for another.
        let row = |name: &[u8]| found.rows.iter().find(|(at, _)| at == name).map(|(_, wrapped)| wrapped);
        let secret = match (self, row(PLAIN), row(SEALED), row(WRAPPED)) {
            (Self::Open, Some(open), ..) => secret(open)?,
            (Self::Key(OperatorKey(key)), _, Some(sealed), _) => {
                let opened = AtRestKey::new(key.clone()).open(SEALED, sealed);
                secret(&opened.map_err(|_| BuildError::WrongKey)?)?
            }
            (Self::Vault(vault), .., Some(wrapped)) => in_time(ports, vault.unwrap(wrapped)).await?,
            (_, Some(_), ..) => return Err(BuildError::SealedOtherwise(SealedBy::Nothing)),
            (_, _, Some(_), _) => return Err(BuildError::SealedOtherwise(SealedBy::Key)),
            (.., Some(_)) => return Err(BuildError::SealedOtherwise(SealedBy::Vault)),
            (_, None, None, None) => return Err(Fault::Broken("the key of the secrets is missing").into()),
        };
        Ok(AtRestKey::new(secret))
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

/// What a vault answers, if it does so in time.
async fn in_time<T>(
    ports: &Ports,
    answer: impl Future<Output = Result<T, VaultError>> + Send,
) -> Result<T, VaultError> {
    let deadline = ports.clock.now().plus_secs(PATIENCE_S);
    before(deadline, ports.clock.as_ref(), answer).await.unwrap_or(Err(VaultError::Unavailable))
}

fn secret(bytes: &[u8]) -> Result<Secret<32>, Fault> {
    bytes.try_into().map(Secret::new).map_err(|_| Fault::Broken("length of the root key"))
}

/// Where the root key may lie.
pub(crate) const ROWS: [&[u8]; 3] = [PLAIN, SEALED, WRAPPED];
const PLAIN: &[u8] = b"root";
const SEALED: &[u8] = b"root sealed";
const WRAPPED: &[u8] = b"root wrapped";
/// Longest wrapped form of a root key, in bytes.
const MAX_WRAPPED: usize = 4 << 10;
/// How long a vault may take, in seconds: a start that waits for ever tells its operator nothing.
const PATIENCE_S: u64 = 30;
