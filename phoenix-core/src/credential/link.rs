//! Identity links: who is behind a leaf, told to the group's members alone (03, "Chain").

use super::{
    AsKeys, ClientCredential, IdentityLink, IdentityLinkTbs, VerifiedClientCredential,
    types::MAX_ENCRYPTED_LINK,
};
use crate::{
    Pseudonym, Reject, Timestamp,
    crypto::{Chance, Signer, open_with_key, pad_to, seal_with_key, unpad},
    wire::{Opaque, Secret, Wire},
};

impl IdentityLink {
    /// Ties a leaf to its client: signs pseudonym and leaf key with the client's key.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] for a leaf key over 128 bytes; [`Reject::Internal`] when the key cannot be used.
    pub fn sign(
        credential: ClientCredential,
        signer: &dyn Signer,
        pseudonym: Pseudonym,
        leaf_key: &[u8],
    ) -> Result<Self, Reject> {
        let content = content(pseudonym, leaf_key)?;
        let signature = signer.sign(LABEL, &content).map_err(|_| Reject::Internal)?;
        Ok(Self { credential, signature })
    }

    /// Verifies that the client is behind the leaf, as of `at`: the time at which the DS accepted the leaf, else now.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where the chain or the link does not verify.
    pub fn verify(
        &self,
        pseudonym: Pseudonym,
        leaf_key: &[u8],
        keys: &AsKeys,
        at: Timestamp,
    ) -> Result<VerifiedClientCredential, Reject> {
        let client = keys.verify_chain(&self.credential, at)?;
        let content = content(pseudonym, leaf_key).map_err(|_| Reject::Unauthenticated)?;
        client.key().verify(LABEL, &content, &self.signature)?;
        Ok(client)
    }

    /// Seals the link, padded to [`LINK_SIZE`], under a link key made for this leaf alone.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] where the link does not fit; no domain name is long enough for that.
    pub fn seal(
        &self,
        link_key: &Secret<32>,
        pseudonym: Pseudonym,
        chance: &mut Chance,
    ) -> Result<Opaque<MAX_ENCRYPTED_LINK>, Reject> {
        let padded = pad_to(&self.encode(), LINK_SIZE)?;
        Ok(Opaque::new(seal_with_key(link_key, pseudonym.as_bytes(), &padded, chance))?)
    }

    /// Opens the link of a leaf; nothing in it is verified yet.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where it was not sealed with this key for this pseudonym.
    pub fn open(sealed: &[u8], link_key: &Secret<32>, pseudonym: Pseudonym) -> Result<Self, Reject> {
        let padded = open_with_key(link_key, pseudonym.as_bytes(), sealed)?;
        Self::decode(unpad(&padded)?)
    }
}

fn content(pseudonym: Pseudonym, leaf_key: &[u8]) -> Result<bytes::Bytes, Reject> {
    Ok(IdentityLinkTbs { pseudonym, leaf_key: Opaque::new(leaf_key.to_vec())? }.encode())
}

/// Bytes to which every link is padded (03).
pub const LINK_SIZE: usize = 1_024;
/// The struct's name (03, "Labels").
const LABEL: &str = "IdentityLink";
