//! The port to a place that keeps the operator's key: an HSM, or a key management service.

use async_trait::async_trait;
use bytes::Bytes;

use crate::wire::Secret;

/// Encrypts and decrypts the homeserver's root key, under a key that never leaves it.
///
/// Asked when the homeserver is made or its secrets are resealed, for the wrapped form and to see that it opens again,
/// and once at each start; what is done between needs no vault. What takes longer than 30 seconds counts as
/// [`VaultError::Unavailable`]. The homeserver keeps the wrapped form in its store, so a copy of the store is worth nothing without the vault.
#[async_trait]
pub trait Vault: Send + Sync + 'static {
    /// Encrypts a key, with integrity, so that only this vault decrypts it. At most 4 KiB.
    ///
    /// # Errors
    /// See [`VaultError`].
    async fn wrap(&self, key: &Secret<32>) -> Result<Bytes, VaultError>;

    /// Decrypts what [`Vault::wrap`] made.
    ///
    /// # Errors
    /// See [`VaultError`].
    async fn unwrap(&self, wrapped: &[u8]) -> Result<Secret<32>, VaultError>;
}

#[async_trait]
impl<T: Vault + ?Sized> Vault for std::sync::Arc<T> {
    async fn wrap(&self, key: &Secret<32>) -> Result<Bytes, VaultError> {
        self.as_ref().wrap(key).await
    }

    async fn unwrap(&self, wrapped: &[u8]) -> Result<Secret<32>, VaultError> {
        self.as_ref().unwrap(wrapped).await
    }
}

/// Why a vault did not do what it was asked. It carries no value: vaults' own messages are theirs to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// It cannot be reached now.
    #[error("it cannot be reached")]
    Unavailable,
    /// It refuses: this was not wrapped by it, or this server may not use its key.
    #[error("it refused")]
    Refused,
    /// It does not what a vault does; found by the homeserver, which then relies on nothing of it.
    #[error("{0}")]
    Broken(&'static str),
}
