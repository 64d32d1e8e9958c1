//! What an operator may do with what signs for the domain (03, "Revocation and rotation").

use phoenix_as::{AuthorityChange, Root};
use phoenix_core::credential::AsIdentity;

use crate::{Admin, AdminError, Homeserver, Seal};

impl Admin {
    /// What the domain's authority publishes: roots, statement, and intermediates, of which the last one signs.
    ///
    /// # Errors
    /// [`AdminError::Broken`] where the store does not do its work.
    pub async fn authority(&self) -> Result<AsIdentity, AdminError> {
        Ok(self.home().identity().await?)
    }

    /// Changes what signs for the domain. The new keys are published at once, by replicas and by a server that runs
    /// on the same store in another process within a minute; all that was signed before and is not revoked stays
    /// valid until it ends.
    ///
    /// # Errors
    /// [`AdminError::Authority`] where the root may not sign that; [`AdminError::Broken`] where the store does not do
    /// its work, so that nobody knows whether it was changed.
    pub async fn change_authority(&self, change: AuthorityChange, root: &Root) -> Result<(), AdminError> {
        self.inner.keys.change_authority(change, root, &self.inner.root).await?;
        if let Err(error) = self.home().refresh_keys().await {
            // It is done all the same.
            tracing::error!(%error, "the authority was changed, but this server could not take it over yet");
        }
        Ok(())
    }

    /// Whether [`Admin::change_authority`] would do it now; changes nothing. For whoever wants to know before a new
    /// root's key is kept somewhere.
    ///
    /// # Errors
    /// As [`Admin::change_authority`].
    pub async fn check_authority(&self, change: AuthorityChange, root: &Root) -> Result<(), AdminError> {
        self.inner.keys.check_authority(change, root, &self.inner.root).await
    }

    /// Keeps the homeserver's secrets under another operator key, a vault, or nothing, from the next start on. Copies
    /// of the store that were made before still open as they did.
    ///
    /// # Errors
    /// [`AdminError::Vault`] where the vault does not do its work; [`AdminError::Broken`] where the store does not.
    pub async fn reseal(&self, seal: Seal) -> Result<(), AdminError> {
        self.inner.keys.reseal(&seal, &self.inner.root).await
    }

    fn home(&self) -> Homeserver {
        Homeserver { inner: self.inner.clone() }
    }
}
