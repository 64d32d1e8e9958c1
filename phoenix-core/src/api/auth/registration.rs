//! Registration: how a user comes to be (04), and what the operator asks of it (05, "Registration policy").

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{InvitationCode, MAX_OPAQUE, WorkChallenge, WorkProof};
use crate::{
    UserId,
    api::{Description, Empty, Endpoint, SenderKind, ServiceName},
    credential::{ClientCredential, Csr},
    crypto::HpkePublicKey,
    wire::{List, Opaque},
};

/// What the registration policy asks for.
pub struct RegistrationChallenge;

impl Endpoint for RegistrationChallenge {
    const DESCRIPTION: Description = Description::new(0x0102, ServiceName::As, "registration_challenge");
    type Request = Empty;
    type Reply = ChallengeReply;
}

/// What a registration must bring: all demands of any one alternative. Without an alternative, registration is
/// closed; an alternative without demands is open to everyone.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ChallengeReply {
    /// At most [`MAX_ALTERNATIVES`].
    pub alternatives: List<List<Demand, MAX_DEMANDS>, MAX_ALTERNATIVES>,
}

impl ChallengeReply {
    /// Whether nothing need be brought.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.alternatives.iter().any(|demands| demands.is_empty())
    }
}

/// One thing that a registration must bring.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum Demand {
    /// An invitation that was not used yet.
    Invitation = 1,
    /// A solution of this challenge.
    Work(WorkChallenge) = 2,
    /// What the operator's own judge wants to see: a captcha's answer, or an attestation. The value tells the client
    /// which, in the operator's words.
    External(Opaque<MAX_EXTERNAL>) = 3,
}

/// What a registration brings for one demand.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum RegistrationProof {
    /// An invitation.
    Invitation(InvitationCode) = 1,
    /// Work that was done for this user id.
    Work(WorkProof) = 2,
    /// What the operator's judge is shown.
    External(Opaque<MAX_EXTERNAL>) = 3,
}

/// Begins a registration.
pub struct RegisterInit;

impl Endpoint for RegisterInit {
    const DESCRIPTION: Description = Description::new(0x0103, ServiceName::As, "register_init");
    type Request = RegisterInitRequest;
    type Reply = RegisterInitReply;
}

/// Asks to register a user.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct RegisterInitRequest {
    /// The id that the client chose.
    pub user: UserId,
    /// OPAQUE registration request (RFC 9807 §5.2).
    pub opaque: Opaque<MAX_OPAQUE>,
    /// What the policy asked for; nothing where registration is open.
    pub proofs: List<RegistrationProof, MAX_DEMANDS>,
}

/// A registration that goes on for ten minutes.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct RegisterInitReply {
    /// Names the registration.
    pub registration: [u8; 16],
    /// OPAQUE registration response (RFC 9807 §5.2).
    pub opaque: Opaque<MAX_OPAQUE>,
}

/// Finishes a registration: the user exists from then on.
pub struct RegisterFinish;

impl Endpoint for RegisterFinish {
    // A registration can be finished once, whatever frames come.
    const DESCRIPTION: Description =
        Description::new(0x0104, ServiceName::As, "register_finish").signed_by(SenderKind::NewKey).harmless();
    type Request = RegisterFinishRequest;
    type Reply = ClientCredential;
}

/// Asks for the user's first credential.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct RegisterFinishRequest {
    /// From [`RegisterInitReply`].
    pub registration: [u8; 16],
    /// What is to be signed; its key signs the frame.
    pub csr: Csr,
    /// The direct queue is encrypted to this key.
    pub queue_key: HpkePublicKey,
    /// OPAQUE registration record (RFC 9807 §5.2).
    pub record: Opaque<MAX_OPAQUE>,
}

/// Ways to be let in: more would be a policy that nobody can explain.
pub const MAX_ALTERNATIVES: usize = 8;
/// Things that one way may ask for together.
pub const MAX_DEMANDS: usize = 8;
/// Longest hint to, and longest proof for, the operator's own judge: attestations of devices are a few KiB.
pub const MAX_EXTERNAL: usize = 8 << 10;
