//! Proof of who sent a call.

use std::sync::LazyLock;

use bytes::Bytes;

use super::Need;
use crate::{
    Fqdn, Reject,
    api::{SenderKind, ServiceName},
    crypto::{Chance, Signature, SigningKey, Suite, VerifyingKey},
    wire::{Audience, AuthFrame, Call, CallTbs, CoSignature, Sender, Wire},
};

/// A claim that a signature vouches for. Only this module makes one, so a forgotten check does not compile.
#[derive(Debug)]
pub struct Proven<T>(T);

impl<T> Proven<T> {
    /// What was proven.
    pub const fn get(&self) -> &T {
        &self.0
    }
}

/// Whoever it is: the sender of calls that need no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anyone;

impl Proven<Anyone> {
    /// Proves nothing.
    #[must_use]
    pub const fn anyone() -> Self {
        Self(Anyone)
    }
}

impl VerifyingKey {
    /// Proves a claim by a signature over a struct that is its own frame (08).
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where the signature is not of this key, label and content.
    pub fn prove<T>(
        &self,
        label: &str,
        content: &[u8],
        signature: &Signature,
        claim: T,
    ) -> Result<Proven<T>, Reject> {
        self.verify(label, content, signature)?;
        Ok(Proven(claim))
    }
}

/// The frame of a call (02), with what its signatures cover.
#[derive(Clone, Debug)]
pub struct Frame {
    sender: Sender,
    nonce: [u8; 16],
    signature: Signature,
    co_signatures: Vec<CoSignature>,
    covered: Bytes,
}

impl Frame {
    pub(crate) fn new(call: &Call, frame: &AuthFrame, domain: &Fqdn, service: ServiceName) -> Self {
        let audience = Audience { service, domain: domain.clone() };
        Self {
            sender: frame.sender.clone(),
            nonce: frame.nonce,
            signature: frame.signature.clone(),
            co_signatures: frame.co_signatures.to_vec(),
            covered: CallTbs::encoding(call, frame, audience),
        }
    }

    /// Who claims to have signed.
    #[must_use]
    pub const fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Proves a claim with the key that vouches for it.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where the signature is not of this key.
    pub fn prove<T>(&self, key: &VerifyingKey, claim: T) -> Result<Proven<T>, Reject> {
        key.prove(LABEL, &self.covered, &self.signature, claim)
    }

    /// Proves a claim with the key that vouches for it, where there is one. A refusal takes one verification of each
    /// suite, so that its time tells neither whether there is such a key nor what it is.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where there is no key, or the signature is not its own.
    pub fn prove_known<T: Clone>(&self, known: Option<&VerifyingKey>, claim: T) -> Result<Proven<T>, Reject> {
        let [first, second] = trial(known);
        let proven = self.prove(first, claim.clone());
        if proven.is_ok() && known.is_some() {
            return proven;
        }
        // For the time that it takes, whatever comes of it.
        let _ = self.prove(std::hint::black_box(second), claim);
        Err(Reject::Unauthenticated)
    }

    /// Proves that the caller holds the key that the body introduces.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where the frame names another key, or its signature is not of this one.
    pub fn prove_new_key<T>(&self, key: &VerifyingKey, claim: T) -> Result<Proven<T>, Reject> {
        match &self.sender {
            Sender::NewKey(named) if named == key => self.prove(key, claim),
            _ => Err(Reject::Unauthenticated),
        }
    }

    /// Checks that a further key of the body signed too.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where it did not.
    pub fn co_signed_by(&self, key: &VerifyingKey) -> Result<(), Reject> {
        let found = self.co_signatures.iter().find(|it| it.key == *key).ok_or(Reject::Unauthenticated)?;
        key.verify(LABEL, &self.covered, &found.signature)
    }

    /// The one peer that vouches for the sender, where it is not of this domain.
    #[must_use]
    pub fn voucher(&self, own: &Fqdn) -> Option<Need> {
        match &self.sender {
            Sender::ClientCredential(credential) => {
                let domain = &credential.payload.client.user.domain;
                (domain != own).then(|| Need::signer(domain.clone(), &credential.payload.signer))
            }
            Sender::Homeserver(domain, service, key) => Some(Need::key(domain.clone(), *service, *key)),
            Sender::Alias(_)
            | Sender::QsUser(_)
            | Sender::QsClient(_)
            | Sender::Leaf(..)
            | Sender::KeyPackage(..)
            | Sender::NewKey(_) => None,
        }
    }

    /// What makes the frame unlike any other: its sender and its nonce.
    pub(crate) fn identity(&self) -> Bytes {
        (self.sender.clone(), self.nonce).encode()
    }
}

impl Sender {
    /// What kind of sender it is.
    #[must_use]
    pub const fn kind(&self) -> SenderKind {
        match self {
            Self::ClientCredential(_) => SenderKind::Client,
            Self::Alias(_) => SenderKind::Alias,
            Self::QsUser(_) => SenderKind::QsUser,
            Self::QsClient(_) => SenderKind::QsClient,
            Self::Leaf(..) => SenderKind::Leaf,
            Self::KeyPackage(..) => SenderKind::KeyPackage,
            Self::Homeserver(..) => SenderKind::Homeserver,
            Self::NewKey(_) => SenderKind::NewKey,
        }
    }
}

/// The keys that a frame is tried with, one of each suite: first its sender's own, if there is one.
fn trial(known: Option<&VerifyingKey>) -> [&VerifyingKey; 2] {
    let [ed25519, p256] = &*NOBODY;
    match known {
        None => [ed25519, p256],
        Some(own) => match own.suite {
            Suite::Ed25519 => [own, p256],
            Suite::P256 => [own, ed25519],
        },
    }
}

/// Keys of nobody. Anyone can sign with them, and it proves nothing.
static NOBODY: LazyLock<[VerifyingKey; 2]> = LazyLock::new(|| {
    let mut chance = Chance::from_seed([0; 32]);
    [Suite::Ed25519, Suite::P256].map(|suite| SigningKey::generate(suite, &mut chance).verifying_key())
});

/// The label of a frame's signature (02).
pub const LABEL: &str = "Call";

#[cfg(test)]
mod tests {
    use super::trial;
    use crate::crypto::{Chance, SigningKey, Suite};

    #[test]
    fn a_frame_is_tried_with_one_key_of_each_suite_whoever_is_named() {
        for suite in [Suite::Ed25519, Suite::P256] {
            let known = SigningKey::generate(suite, &mut Chance::from_seed([1; 32])).verifying_key();

            let [own, other] = trial(Some(&known));

            assert_eq!(*own, known);
            assert_ne!(own.suite, other.suite);
        }
        assert_eq!(trial(None).map(|key| key.suite), [Suite::Ed25519, Suite::P256]);
    }
}
