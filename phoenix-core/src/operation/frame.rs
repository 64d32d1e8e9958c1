//! Proof of who sent a call.

use bytes::Bytes;

use super::Need;
use crate::{
    Fqdn, Reject,
    api::{SenderKind, ServiceName},
    crypto::{Signature, VerifyingKey},
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
                (domain != own).then(|| Need::keys(domain.clone(), ServiceName::As))
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

/// The label of a frame's signature (02).
pub const LABEL: &str = "Call";
