//! Making credentials, and signing lists of them (03, "Chain").

use super::{
    AsCredential, AsCredentialPayload, AsIntermediateCredential, AsIntermediatePayload, AsKeys,
    AuthorityStatement, AuthorityStatementTbs, ClientCredential, ClientCredentialPayload, Csr,
    ExpirationData, RevocationDelta, RevocationDeltaTbs, RevocationList, RevocationListTbs,
};
use crate::{
    Fingerprint, Fqdn, Reject, Timestamp,
    crypto::{Signer, SignerError},
    wire::Wire,
};

impl ExpirationData {
    /// Whether the time lies in it.
    #[must_use]
    pub const fn contains(&self, time: Timestamp) -> bool {
        self.not_before <= time.as_secs() && time.as_secs() <= self.not_after
    }

    /// Whether it is not empty and lies whole in another.
    #[must_use]
    pub const fn is_within(&self, outer: &Self) -> bool {
        self.not_before <= self.not_after
            && outer.not_before <= self.not_before
            && self.not_after <= outer.not_after
    }
}

impl AsCredential {
    /// Makes the root of a domain, signed by itself.
    ///
    /// # Errors
    /// [`SignerError`] when the key cannot be used.
    pub fn issue(as_domain: Fqdn, validity: ExpirationData, key: &dyn Signer) -> Result<Self, SignerError> {
        let payload = AsCredentialPayload { as_domain, validity, key: key.verifying_key() };
        let self_signature = key.sign(ROOT_PAYLOAD, &payload.encode())?;
        Ok(Self { payload, self_signature })
    }

    /// SHA-256 of its encoding.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self)
    }

    /// Checks domain and self-signature; says nothing about time.
    pub(super) fn verify(&self, domain: &Fqdn) -> Result<(), Reject> {
        let payload = &self.payload;
        if payload.as_domain != *domain {
            return Err(Reject::Unauthenticated);
        }
        payload.key.verify(ROOT_PAYLOAD, &payload.encode(), &self.self_signature)
    }
}

impl AsIntermediateCredential {
    /// Makes an intermediate: `key` shows that it is held, `root_key` vouches for it. The root's domain is its
    /// domain; the validity must lie within the root's, or no one accepts it.
    ///
    /// # Errors
    /// [`SignerError`] when a key cannot be used.
    pub fn issue(
        key: &dyn Signer,
        validity: ExpirationData,
        root: &AsCredential,
        root_key: &dyn Signer,
    ) -> Result<Self, SignerError> {
        let payload = AsIntermediatePayload {
            as_domain: root.payload.as_domain.clone(),
            validity,
            key: key.verifying_key(),
            signer: root.fingerprint(),
        };
        let self_signature = key.sign(INTERMEDIATE_PAYLOAD, &payload.encode())?;
        let signature = root_key.sign(INTERMEDIATE, &(payload.clone(), self_signature.clone()).encode())?;
        Ok(Self { payload, self_signature, signature })
    }

    /// SHA-256 of its encoding.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self)
    }

    /// Checks both signatures, the domain, and that it lies within its root; says nothing about time.
    pub(super) fn verify(&self, root: &AsCredential) -> Result<(), Reject> {
        let Self { payload, self_signature, signature } = self;
        let is_nested = payload.validity.is_within(&root.payload.validity);
        if payload.as_domain != root.payload.as_domain || payload.signer != root.fingerprint() || !is_nested {
            return Err(Reject::Unauthenticated);
        }
        payload.key.verify(INTERMEDIATE_PAYLOAD, &payload.encode(), self_signature)?;
        root.payload.key.verify(INTERMEDIATE, &(payload.clone(), self_signature.clone()).encode(), signature)
    }
}

impl Csr {
    /// Asks for a credential: signs the payload with the key that stands in it.
    ///
    /// # Errors
    /// [`SignerError`] when the key cannot be used, or is not the payload's.
    pub fn new(signer: &dyn Signer, payload: ClientCredentialPayload) -> Result<Self, SignerError> {
        if signer.verifying_key() != payload.key {
            return Err(SignerError);
        }
        let self_signature = signer.sign(CLIENT_PAYLOAD, &payload.encode())?;
        Ok(Self { payload, self_signature })
    }

    /// Checks that whoever asks holds the key.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where the self-signature is wrong.
    pub fn verify(&self) -> Result<(), Reject> {
        self.payload.key.verify(CLIENT_PAYLOAD, &self.payload.encode(), &self.self_signature)
    }
}

impl ClientCredential {
    /// Signs a CSR unchanged, or refuses. That the client may have this id is for the caller to know.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where the self-signature is wrong; [`Reject::Malformed`] where another
    /// intermediate is named, the domain is another, or the validity is empty, over, or not within the
    /// intermediate's; [`Reject::Internal`] when the key cannot be used.
    pub fn issue(
        csr: Csr,
        intermediate: &AsIntermediateCredential,
        key: &dyn Signer,
        now: Timestamp,
    ) -> Result<Self, Reject> {
        let Csr { payload, self_signature } = &csr;
        if payload.signer != intermediate.fingerprint() {
            return Err(Reject::Malformed("signer"));
        }
        if payload.client.user.domain != intermediate.payload.as_domain {
            return Err(Reject::Malformed("client id"));
        }
        let is_nested = payload.validity.is_within(&intermediate.payload.validity);
        if !is_nested || payload.validity.not_after <= now.as_secs() {
            return Err(Reject::Malformed("validity"));
        }
        csr.verify()?;
        let content = (payload.clone(), self_signature.clone()).encode();
        let signature = key.sign(CLIENT, &content).map_err(|_| Reject::Internal)?;
        let Csr { payload, self_signature } = csr;
        Ok(Self { payload, self_signature, signature })
    }

    /// SHA-256 of its encoding.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self)
    }

    /// Checks both signatures, the domain, and that it lies within its intermediate; says nothing about time.
    pub(super) fn verify(&self, intermediate: &AsIntermediateCredential) -> Result<(), Reject> {
        let Self { payload, self_signature, signature } = self;
        let is_nested = payload.validity.is_within(&intermediate.payload.validity);
        if payload.client.user.domain != intermediate.payload.as_domain || !is_nested {
            return Err(Reject::Unauthenticated);
        }
        payload.key.verify(CLIENT_PAYLOAD, &payload.encode(), self_signature)?;
        let content = (payload.clone(), self_signature.clone()).encode();
        intermediate.payload.key.verify(CLIENT, &content, signature)
    }
}

impl AuthorityStatement {
    /// Signs what a root says of the others.
    ///
    /// # Errors
    /// [`SignerError`] when the key cannot be used.
    pub fn issue(payload: AuthorityStatementTbs, root_key: &dyn Signer) -> Result<Self, SignerError> {
        let signature = root_key.sign(STATEMENT, &payload.encode())?;
        Ok(Self { payload, signature })
    }

    pub(super) fn verify(&self, root: &AsCredential) -> Result<(), Reject> {
        if self.payload.as_domain != root.payload.as_domain {
            return Err(Reject::Unauthenticated);
        }
        root.payload.key.verify(STATEMENT, &self.payload.encode(), &self.signature)
    }
}

impl RevocationList {
    /// Signs the list of void client credentials.
    ///
    /// # Errors
    /// [`SignerError`] when the key cannot be used.
    pub fn issue(payload: RevocationListTbs, key: &dyn Signer) -> Result<Self, SignerError> {
        let signature = key.sign(REVOCATIONS, &payload.encode())?;
        Ok(Self { payload, signature })
    }

    pub(super) fn verify(&self, intermediate: &AsIntermediateCredential) -> Result<(), Reject> {
        if self.payload.as_domain != intermediate.payload.as_domain {
            return Err(Reject::Unauthenticated);
        }
        intermediate.payload.key.verify(REVOCATIONS, &self.payload.encode(), &self.signature)
    }
}

impl RevocationDelta {
    /// Signs what came to the list of void client credentials.
    ///
    /// # Errors
    /// [`SignerError`] when the key cannot be used.
    pub fn issue(payload: RevocationDeltaTbs, key: &dyn Signer) -> Result<Self, SignerError> {
        let signature = key.sign(DELTA, &payload.encode())?;
        Ok(Self { payload, signature })
    }

    /// Checks domain, signer and that it has not expired, with keys that know its signer.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where any of it fails.
    pub fn verify(&self, keys: &AsKeys, now: Timestamp) -> Result<(), Reject> {
        let Self { payload, signature } = self;
        if payload.as_domain != *keys.domain() || payload.expires < now.as_secs() {
            return Err(Reject::Unauthenticated);
        }
        keys.verify_signed(&payload.signer, (DELTA, &payload.encode()), signature, now)
    }
}

/// Labels of the signed structs: their names (03, "Labels").
const ROOT_PAYLOAD: &str = "AsCredentialPayload";
const INTERMEDIATE_PAYLOAD: &str = "AsIntermediateCredentialPayload";
const INTERMEDIATE: &str = "AsIntermediateCredential";
const CLIENT_PAYLOAD: &str = "ClientCredentialPayload";
const CLIENT: &str = "ClientCredential";
const STATEMENT: &str = "AuthorityStatement";
const REVOCATIONS: &str = "RevocationList";
const DELTA: &str = "RevocationDelta";
