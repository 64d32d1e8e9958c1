//! What the protocol keeps in the group context: roles, and the offer of a connection (07, "MLS profile").

use openmls::prelude::{CredentialType, Extension, ExtensionType, Extensions, GroupContext};
use phoenix_core::{
    Reject, Timestamp,
    api::{
        delivery::DsPublicKeys,
        mls::{CONNECTION_EXTENSION, Connection, LEAF_CREDENTIAL, ROLES_EXTENSION, Roles},
        queue::ServiceKey,
    },
    crypto::{Suite, VerifyingKey, sha256},
    wire::{List, Opaque, Secret, Wire},
};
use tls_codec::{Serialize as _, TlsDeserializeBytes, TlsSerialize, TlsSize};

/// The roles of a group.
///
/// # Errors
/// [`Reject::Malformed`] where there are none.
pub(crate) fn roles(context: &GroupContext) -> Result<Roles, Reject> {
    let extension = context.extensions().unknown(ROLES_EXTENSION).ok_or(Reject::Malformed("roles"))?;
    Roles::decode(&extension.0)
}

/// The offer of a connection, where the group has one.
///
/// # Errors
/// [`Reject::Malformed`] where it cannot be read.
pub(crate) fn connection(context: &GroupContext) -> Result<Option<Connection>, Reject> {
    context.extensions().unknown(CONNECTION_EXTENSION).map(|it| Connection::decode(&it.0)).transpose()
}

/// Whether a join code opens the group's offer now.
///
/// # Errors
/// [`Reject::NotFound`] where it does not, for whatever reason.
pub(crate) fn check_join_code(
    context: &GroupContext,
    code: &Secret<32>,
    now: Timestamp,
) -> Result<(), Reject> {
    let offer = connection(context).ok().flatten().ok_or(Reject::NotFound)?;
    let opens = Secret::new(sha256(code.expose())) == Secret::new(offer.join_code_hash);
    if opens && now.as_secs() <= offer.expires { Ok(()) } else { Err(Reject::NotFound) }
}

/// Checks the context of a new group: nothing but what the protocol knows; LeafCredentials and the protocol's own
/// extensions required; external senders keys of this DS and nobody else's, the current one among them. One that is
/// retired may stand there too: its client read the published keys before.
///
/// # Errors
/// [`Reject::Malformed`], with the part that does not fit.
pub(crate) fn check_new(
    context: &GroupContext,
    current: &VerifyingKey,
    known: &[ServiceKey],
) -> Result<(), Reject> {
    let extensions = context.extensions();
    if !extensions.iter().all(|it| is_known(it.extension_type())) {
        return Err(Reject::Malformed("group context"));
    }
    check_required(context)?;
    let senders = external_senders(extensions)?;
    // Keys of both suites may stand there; only the group's own can sign for it.
    let is_ours = |sender: &ExternalSender| known.iter().any(|it| it.key.key == sender.key);
    if senders.iter().all(is_ours) && senders.iter().any(|sender| sender.key == current.key) {
        Ok(())
    } else {
        Err(SENDERS)
    }
}

/// What a GroupContextExtensions proposal changes.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// The new roles, where they are others.
    pub(crate) roles: Option<Roles>,
    /// The keys of the new external senders, where they are others.
    pub(crate) senders: Option<Vec<SenderKey>>,
}

/// What a proposal changes of a context: roles and external senders may be others, and nothing else may.
///
/// # Errors
/// [`Reject::Malformed`] where something else is, or where what is new cannot be read.
pub(crate) fn change(context: &GroupContext, proposed: &Extensions<GroupContext>) -> Result<Change, Reject> {
    let current = context.extensions();
    if current.iter().count() != proposed.iter().count() {
        return Err(PROPOSAL);
    }
    let mut change = Change::default();
    for before in current.iter() {
        let kind = before.extension_type();
        let after = proposed.iter().find(|it| it.extension_type() == kind).ok_or(PROPOSAL)?;
        match after {
            after if after == before => {}
            Extension::Unknown(ROLES_EXTENSION, content) => change.roles = Some(Roles::decode(&content.0)?),
            Extension::ExternalSenders(_) => change.senders = Some(sender_keys(proposed)?),
            _ => return Err(PROPOSAL),
        }
    }
    Ok(change)
}

/// Checks that external senders are the published keys of this DS that can sign for groups of a suite, each once; those of
/// the other suite may stand beside them, as in a new group, and no others.
///
/// # Errors
/// [`Reject::Malformed`] where they are not.
pub(crate) fn check_published(
    senders: &[SenderKey],
    published: &DsPublicKeys,
    suite: Suite,
) -> Result<(), Reject> {
    let keys = &published.verifying;
    let is_complete = keys.iter().filter(|it| it.key.suite == suite).all(|it| senders.contains(&it.key.key));
    let is_ours = |sender: &SenderKey| keys.iter().any(|it| it.key.key == *sender);
    let is_once = |sender: &SenderKey| senders.iter().filter(|it| *it == sender).count() == 1;
    let is_published = is_complete && senders.iter().all(|it| is_ours(it) && is_once(it));
    if is_published { Ok(()) } else { Err(SENDERS) }
}

/// The keys of a group's external senders, in their order.
///
/// # Errors
/// [`Reject::Malformed`] where there are none.
pub(crate) fn sender_keys(extensions: &Extensions<GroupContext>) -> Result<Vec<SenderKey>, Reject> {
    Ok(external_senders(extensions)?.into_iter().map(|sender| sender.key).collect())
}

/// The key of an external sender.
pub(crate) type SenderKey = Opaque<65>;

fn check_required(context: &GroupContext) -> Result<(), Reject> {
    let required = context.required_capabilities().ok_or(REQUIRED)?;
    let extension = |number| required.extension_types().contains(&ExtensionType::Unknown(number));
    let connection = connection(context)?.is_none() || extension(CONNECTION_EXTENSION);
    let credential = required.credential_types().contains(&CredentialType::Other(LEAF_CREDENTIAL));
    // What only some clients speak would shut the others out.
    let no_more = required.proposal_types().is_empty();
    if credential && extension(ROLES_EXTENSION) && connection && no_more { Ok(()) } else { Err(REQUIRED) }
}

fn external_senders(
    extensions: &Extensions<GroupContext>,
) -> Result<List<ExternalSender, MAX_SENDERS>, Reject> {
    let found = extensions.iter().find_map(|extension| match extension {
        Extension::ExternalSenders(senders) => Some(senders.tls_serialize_detached()),
        _ => None,
    });
    let encoded = found.and_then(Result::ok).ok_or(SENDERS)?;
    List::decode(&encoded)
}

/// An external sender (RFC 9420 §12.1.8.1).
#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct ExternalSender {
    key: SenderKey,
    credential_type: u16,
    credential: Opaque<256>,
}

const fn is_known(extension: ExtensionType) -> bool {
    matches!(
        extension,
        ExtensionType::RequiredCapabilities
            | ExtensionType::ExternalSenders
            | ExtensionType::Unknown(ROLES_EXTENSION | CONNECTION_EXTENSION)
    )
}

const PROPOSAL: Reject = Reject::Malformed("proposal");
const REQUIRED: Reject = Reject::Malformed("required capabilities");
const SENDERS: Reject = Reject::Malformed("external senders");
/// Keys that a DS publishes at once.
const MAX_SENDERS: usize = phoenix_core::api::queue::MAX_KEYS;
