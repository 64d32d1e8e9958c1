//! MLS messages that the DS reads or makes itself, since they need no cryptography (RFC 9420 §6, §12.4.3).

use openmls::{
    messages::group_info::VerifiableGroupInfo,
    prelude::{ContentType, MlsMessageBodyIn, MlsMessageIn, PublicMessageIn},
};
use phoenix_core::{
    Epoch, GroupId, KeyPackageRef, Reject,
    api::delivery::{MAX_ADDS, MAX_MLS, MessageAad, Mls},
    crypto::Suite,
    wire::{List, Opaque, Wire},
};
use tls_codec::{DeserializeBytes as _, Size as _, TlsDeserializeBytes, TlsSerialize, TlsSize};

/// The commit that a request brings.
///
/// # Errors
/// [`Reject::Malformed`] where it is not a commit in a PublicMessage of this group.
pub(crate) fn commit(message: &Mls, group: &GroupId) -> Result<PublicMessageIn, Reject> {
    let message = MlsMessageIn::tls_deserialize_exact_bytes(message).map_err(|_| COMMIT)?;
    let MlsMessageBodyIn::PublicMessage(commit) = message.extract() else { return Err(COMMIT) };
    let is_commit = commit.content_type() == ContentType::Commit;
    if !is_commit || commit.group_id().as_slice() != group.encode().as_ref() {
        return Err(COMMIT);
    }
    Ok(commit)
}

/// The proposal that a request brings.
///
/// # Errors
/// [`Reject::Malformed`] where it is not a proposal in a PublicMessage of this group.
pub(crate) fn proposal(message: &[u8], group: &[u8]) -> Result<PublicMessageIn, Reject> {
    let message = MlsMessageIn::tls_deserialize_exact_bytes(message).map_err(|_| PROPOSAL)?;
    let MlsMessageBodyIn::PublicMessage(proposal) = message.extract() else { return Err(PROPOSAL) };
    let is_proposal = proposal.content_type() == ContentType::Proposal;
    if is_proposal && proposal.group_id().as_slice() == group { Ok(proposal) } else { Err(PROPOSAL) }
}

/// The GroupInfo that stands in an MLSMessage.
///
/// # Errors
/// [`Reject::Malformed`] where there is none.
pub(crate) fn group_info(message: &[u8]) -> Result<VerifiableGroupInfo, Reject> {
    let message = MlsMessageIn::tls_deserialize_exact_bytes(message).map_err(|_| GROUP_INFO)?;
    match message.extract() {
        MlsMessageBodyIn::GroupInfo(info) => Ok(info),
        _ => Err(GROUP_INFO),
    }
}

/// The MLSMessage of a GroupInfo, from its encoded parts.
///
/// # Errors
/// [`Reject::TooLarge`] where it is over the bound of MLS structures.
pub(crate) fn group_info_message(
    context: &[u8],
    extensions: &[u8],
    tag: &[u8],
    signed: (u32, &Opaque<128>),
) -> Result<Mls, Reject> {
    let head = (MLS_10, WIRE_GROUP_INFO).encode();
    let (signer, signature) = (signed.0.encode(), signed.1.encode());
    Ok(Opaque::new([&head, context, extensions, tag, &signer, &signature].concat())?)
}

/// The epoch of an application message.
///
/// # Errors
/// [`Reject::Malformed`] where it is not an application PrivateMessage of this group whose authenticated data names
/// this kind.
pub(crate) fn application_epoch(message: &Mls, group: &GroupId, aad: MessageAad) -> Result<Epoch, Reject> {
    let frame = PrivateFrame::decode(message).map_err(|_| MESSAGE)?;
    let is_application = frame.version == MLS_10
        && frame.wire_format == WIRE_PRIVATE_MESSAGE
        && frame.content_type == CONTENT_APPLICATION
        && frame.group.as_slice() == group.encode().as_ref()
        && MessageAad::decode(&frame.aad) == Ok(aad);
    if is_application { Ok(Epoch(frame.epoch)) } else { Err(MESSAGE) }
}

/// The one Welcome of a commit, to be cut into one for each joiner.
pub(crate) struct Welcome(WelcomeFrame);

impl Welcome {
    /// The Welcome that a request brings.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where it is none of this suite.
    pub(crate) fn decode(message: &Mls, suite: Suite) -> Result<Self, Reject> {
        let frame = WelcomeFrame::decode(message).map_err(|_| WELCOME)?;
        let fits = frame.version == MLS_10 && frame.wire_format == WIRE_WELCOME && frame.suite == suite;
        if fits { Ok(Self(frame)) } else { Err(WELCOME) }
    }

    /// How many bytes those take together that are cut from it, at most.
    pub(crate) fn whole_len(&self) -> usize {
        self.0.group_info.len().saturating_mul(self.len()).saturating_add(self.0.tls_serialized_len())
    }

    /// How many it is for.
    pub(crate) fn len(&self) -> usize {
        self.0.secrets.len()
    }

    /// The Welcome for one joiner alone.
    ///
    /// # Errors
    /// [`Reject::Malformed`] where it is not for this joiner.
    pub(crate) fn of(&self, package: &KeyPackageRef) -> Result<Mls, Reject> {
        let found = self.0.secrets.iter().find(|it| it.package.as_slice() == package.as_bytes());
        let secrets = List::new(vec![found.cloned().ok_or(WELCOME)?])?;
        let WelcomeFrame { version, wire_format, suite, secrets: _, group_info } = &self.0;
        let (version, wire_format, suite) = (*version, *wire_format, *suite);
        let frame = WelcomeFrame { version, wire_format, suite, secrets, group_info: group_info.clone() };
        Ok(Opaque::new(frame.encode())?)
    }
}

#[cfg(test)]
impl Welcome {
    /// The same with so many bytes for all joiners.
    pub(crate) fn lengthened(self, len: usize) -> Mls {
        let group_info = Opaque::new(vec![0; len]).unwrap_or_default();
        Opaque::new(WelcomeFrame { group_info, ..self.0 }.encode()).unwrap_or_default()
    }
}

#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct PrivateFrame {
    version: u16,
    wire_format: u16,
    group: Opaque<512>,
    epoch: u64,
    content_type: u8,
    aad: Opaque<64>,
    sender: Opaque<256>,
    ciphertext: Opaque<MAX_MLS>,
}

#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct WelcomeFrame {
    version: u16,
    wire_format: u16,
    suite: Suite,
    secrets: List<JoinerSecrets, MAX_ADDS>,
    group_info: Opaque<MAX_MLS>,
}

#[derive(Clone, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct JoinerSecrets {
    package: Opaque<64>,
    kem_output: Opaque<128>,
    ciphertext: Opaque<1024>,
}

const COMMIT: Reject = Reject::Malformed("commit");
const GROUP_INFO: Reject = Reject::Malformed("group info");
const MESSAGE: Reject = Reject::Malformed("message");
const PROPOSAL: Reject = Reject::Malformed("proposal");
const WELCOME: Reject = Reject::Malformed("welcome");
/// `mls10` of RFC 9420 §6.
const MLS_10: u16 = 1;
/// Wire formats of RFC 9420 §17.2.
const WIRE_PRIVATE_MESSAGE: u16 = 2;
const WIRE_WELCOME: u16 = 3;
const WIRE_GROUP_INFO: u16 = 4;
/// The content type of application messages (RFC 9420 §6).
const CONTENT_APPLICATION: u8 = 1;

#[cfg(test)]
mod tests {
    use phoenix_core::{
        GroupId, Reject, Uuid,
        api::delivery::{MessageAad, Mls},
        wire::Opaque,
    };

    use super::{Welcome, application_epoch, commit, group_info, proposal};

    #[test]
    fn no_bytes_of_a_stranger_are_taken_for_a_message_and_none_panic() -> Result<(), Reject> {
        let group = GroupId { uuid: Uuid([1; 16]), domain: "alpha.test".parse()? };
        for length in 0..200_u8 {
            for byte in [0, 1, 2, 0x3f, 0x40, 0x80, 0xff] {
                let message: Mls =
                    Opaque::new([vec![0, 1, 0, byte % 6], vec![byte; length.into()]].concat())?;
                assert!(commit(&message, &group).is_err());
                assert!(group_info(&message).is_err());
                assert!(proposal(&message, b"").is_err());
                assert!(application_epoch(&message, &group, MessageAad::Application).is_err());
                assert!(Welcome::decode(&message, phoenix_core::crypto::Suite::P256).is_err());
            }
        }
        Ok(())
    }
}
