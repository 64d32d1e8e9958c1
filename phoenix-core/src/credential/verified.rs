//! A client credential whose whole chain was verified.

use super::{AsKeys, ClientCredential};
use crate::{ClientId, Fingerprint, Reject, Timestamp, UserId, crypto::VerifyingKey};

/// A client credential whose chain was verified with the published keys of its domain. There is no other way to
/// make one, so whoever holds one acts for just this client (03, "Verification").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedClientCredential {
    credential: ClientCredential,
    fingerprint: Fingerprint,
}

impl VerifiedClientCredential {
    /// The credential.
    #[must_use]
    pub const fn credential(&self) -> &ClientCredential {
        &self.credential
    }

    /// The client.
    #[must_use]
    pub const fn client(&self) -> &ClientId {
        &self.credential.payload.client
    }

    /// The client's user.
    #[must_use]
    pub const fn user(&self) -> &UserId {
        &self.credential.payload.client.user
    }

    /// The client's key.
    #[must_use]
    pub const fn key(&self) -> &VerifyingKey {
        &self.credential.payload.key
    }

    /// SHA-256 of the credential.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl AsKeys {
    /// Verifies a client credential down from its root, as of `at`: encodings, both signatures of each step,
    /// fingerprints, domains, nesting of validities, `at` within all of them, and that nothing of the chain is
    /// revoked by then (03, "Verification").
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where any of it fails, or these keys themselves are too old.
    pub fn verify_chain(
        &self,
        client: &ClientCredential,
        at: Timestamp,
    ) -> Result<VerifiedClientCredential, Reject> {
        let intermediate = self.intermediate_at(&client.payload.signer, at).ok_or(Reject::Unauthenticated)?;
        let fingerprint = client.fingerprint();
        if !client.payload.validity.contains(at) || self.is_revoked(&fingerprint, at) {
            return Err(Reject::Unauthenticated);
        }
        client.verify(intermediate)?;
        Ok(VerifiedClientCredential { credential: client.clone(), fingerprint })
    }
}
