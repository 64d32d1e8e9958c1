//! Connection packages: how to reach a stranger (04).

use super::{
    AsKeys, ClientCredential, ConnectionPackage, ConnectionPackageTbs, PackagePayload,
    VerifiedClientCredential,
};
use crate::{
    Reject, Timestamp,
    crypto::{Signer, SignerError},
    wire::{VERSION, Wire},
};

impl PackagePayload {
    /// Whether offers can be sealed to it now, by someone who speaks this version.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where its time is over or has not come, or its key is none;
    /// [`Reject::UnsupportedVersion`] where its owner speaks other versions.
    pub fn check(&self, now: Timestamp) -> Result<(), Reject> {
        if !self.lifetime.contains(now) {
            return Err(Reject::Malformed("lifetime"));
        }
        if !self.versions.contains(&VERSION) {
            return Err(Reject::UnsupportedVersion);
        }
        self.encryption_key.check()
    }
}

impl ConnectionPackage {
    /// Signs a package with its owner's key.
    ///
    /// # Errors
    /// [`SignerError`] when the key cannot be used, or is not the credential's.
    pub fn sign(
        package: PackagePayload,
        credential: ClientCredential,
        signer: &dyn Signer,
    ) -> Result<Self, SignerError> {
        if signer.verifying_key() != credential.payload.key {
            return Err(SignerError);
        }
        let payload = ConnectionPackageTbs { package, credential };
        let signature = signer.sign(LABEL, &payload.encode())?;
        Ok(Self { payload, signature })
    }

    /// Verifies whose package it is, with the keys of the owner's AS, and that it can be used now.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where chain or signature does not verify; else as [`PackagePayload::check`].
    pub fn verify(&self, keys: &AsKeys, now: Timestamp) -> Result<VerifiedClientCredential, Reject> {
        let owner = keys.verify_chain(&self.payload.credential, now)?;
        owner.key().verify(LABEL, &self.payload.encode(), &self.signature)?;
        self.payload.package.check(now)?;
        Ok(owner)
    }
}

/// The struct's name (03, "Labels").
const LABEL: &str = "ConnectionPackage";
