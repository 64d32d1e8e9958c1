//! Who a leaf is, to mls-rs: a pseudonym (03, "Leaf").

use std::error::Error;

use mls_rs::{
    ExtensionList, IdentityProvider,
    error::IntoAnyError,
    extension::ExtensionType,
    identity::{Credential, CredentialType, CustomCredential, SigningIdentity},
    time::MlsTime,
};
use mls_rs_core::identity::MemberValidationContext;
use phoenix_core::{
    Pseudonym,
    api::mls::{LEAF_CREDENTIAL, ROLES_EXTENSION, Roles},
    credential::LeafCredential,
    wire::Wire,
};

use super::leaf::OwnLeaf;

/// Members are LeafCredentials, and who proposes from outside has a Basic one. Whom a leaf belongs to is not decided
/// here, since the link shows it to members alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeafIdentities;

/// Not a LeafCredential.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not a LeafCredential")]
pub(crate) struct NotALeaf;

impl IntoAnyError for NotALeaf {
    fn into_dyn_error(self) -> Result<Box<dyn Error + Send + Sync>, Self> {
        Ok(self.into())
    }
}

impl IdentityProvider for LeafIdentities {
    type Error = NotALeaf;

    fn validate_member(
        &self,
        identity: &SigningIdentity,
        _: Option<MlsTime>,
        _: MemberValidationContext<'_>,
    ) -> Result<(), NotALeaf> {
        leaf_credential(identity).map(|_| ())
    }

    fn validate_external_sender(
        &self,
        identity: &SigningIdentity,
        _: Option<MlsTime>,
        _: Option<&ExtensionList>,
    ) -> Result<(), NotALeaf> {
        identity.credential.as_basic().map(|_| ()).ok_or(NotALeaf)
    }

    fn identity(&self, identity: &SigningIdentity, _: &ExtensionList) -> Result<Vec<u8>, NotALeaf> {
        Ok(leaf_credential(identity)?.pseudonym.as_bytes().to_vec())
    }

    fn valid_successor(
        &self,
        before: &SigningIdentity,
        after: &SigningIdentity,
        context: &ExtensionList,
    ) -> Result<bool, NotALeaf> {
        let (before, after) = (leaf_credential(before)?.pseudonym, leaf_credential(after)?.pseudonym);
        // Who came by a last-resort package takes another pseudonym, once, and is nobody's admin until then. Whether
        // one came so, the DS knows alone; that the new one is nobody's, mls-rs sees by the identity.
        Ok(before == after || !admins(context).contains(&before))
    }

    fn supported_types(&self) -> Vec<CredentialType> {
        vec![CredentialType::new(LEAF_CREDENTIAL), CredentialType::BASIC]
    }
}

/// Who is listed as admin in a group's context.
pub(crate) fn admins(context: &ExtensionList) -> Vec<Pseudonym> {
    let roles = context.get(ExtensionType::new(ROLES_EXTENSION)).unwrap();
    Roles::decode(&roles.extension_data).unwrap().admins.into_vec()
}

/// A leaf's credential and key.
pub(crate) fn signing_identity(leaf: &OwnLeaf) -> SigningIdentity {
    let content = leaf.credential.encode().to_vec();
    let credential = CustomCredential::new(CredentialType::new(LEAF_CREDENTIAL), content);
    SigningIdentity::new(Credential::Custom(credential), leaf.key.verifying_key().key.to_vec().into())
}

/// Reads a leaf's credential.
pub(crate) fn leaf_credential(identity: &SigningIdentity) -> Result<LeafCredential, NotALeaf> {
    let credential = identity.credential.as_custom().ok_or(NotALeaf)?;
    if credential.credential_type != CredentialType::new(LEAF_CREDENTIAL) {
        return Err(NotALeaf);
    }
    LeafCredential::decode(&credential.data).map_err(|_| NotALeaf)
}
