//! Logging in with the password, and what takes it: the clients of a user, its password, its end (04).

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{MAX_OPAQUE, RegisterInitReply, WorkProof};
use crate::{
    Fqdn, UserId, Uuid,
    api::{Description, Empty, Endpoint, SenderKind, ServiceName},
    credential::{ClientCredential, Csr},
    crypto::HpkePublicKey,
    wire::{List, Opaque},
};

/// Begins a login of a client's own user: the second factor of what follows.
pub struct LoginInit;

impl Endpoint for LoginInit {
    const DESCRIPTION: Description =
        Description::new(0x0105, ServiceName::As, "login_init").local().signed_by(SenderKind::Client);
    type Request = Opaque<MAX_OPAQUE>;
    type Reply = LoginReply;
}

/// A login that goes on for ten minutes.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct LoginReply {
    /// Names the login.
    pub login: [u8; 16],
    /// OPAQUE KE2 (RFC 9807 §6.2).
    pub ke2: Opaque<MAX_OPAQUE>,
}

/// A login that was begun, and what completes it. Good once.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct SecondFactor {
    /// From [`LoginReply`].
    pub login: [u8; 16],
    /// OPAQUE KE3 (RFC 9807 §6.2).
    pub ke3: Opaque<MAX_OPAQUE>,
}

/// Begins a login of a client that is to be.
pub struct AddClientInit;

impl Endpoint for AddClientInit {
    const DESCRIPTION: Description = Description::new(0x0106, ServiceName::As, "add_client_init");
    type Request = AddClientInitRequest;
    type Reply = LoginReply;
}

/// Asks to log in.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AddClientInitRequest {
    /// Whose client it is to be.
    pub user: UserId,
    /// OPAQUE KE1 (RFC 9807 §6.2).
    pub ke1: Opaque<MAX_OPAQUE>,
    /// Work, where it was asked for: after many failed logins `rate_limited` carries a
    /// [`WorkChallenge`](super::WorkChallenge) as its detail.
    pub work: Option<WorkProof>,
}

/// Finishes a login: the client exists from then on.
pub struct AddClientFinish;

impl Endpoint for AddClientFinish {
    // A login can be finished once, whatever frames come.
    const DESCRIPTION: Description = Description::new(0x0107, ServiceName::As, "add_client_finish")
        .signed_by(SenderKind::NewKey)
        .harmless();
    type Request = AddClientFinishRequest;
    type Reply = ClientCredential;
}

/// Asks for the credential of a further client.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AddClientFinishRequest {
    /// The completed login.
    pub factor: SecondFactor,
    /// What is to be signed; its key signs the frame.
    pub csr: Csr,
    /// The direct queue is encrypted to this key.
    pub queue_key: HpkePublicKey,
}

/// Removes a client of the caller's user, itself perhaps, and revokes its credentials.
pub struct RemoveClient;

impl Endpoint for RemoveClient {
    const DESCRIPTION: Description =
        Description::new(0x0108, ServiceName::As, "remove_client").local().signed_by(SenderKind::Client);
    type Request = RemoveClientRequest;
    type Reply = Empty;
}

/// Which client is to go.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct RemoveClientRequest {
    /// The completed login.
    pub factor: SecondFactor,
    /// The client.
    pub client: Uuid,
}

/// Renews the caller's credential: the same client and key, another validity.
pub struct RenewCredential;

impl Endpoint for RenewCredential {
    // The same CSR gives the same credential.
    const DESCRIPTION: Description = Description::new(0x0109, ServiceName::As, "renew_credential")
        .local()
        .signed_by(SenderKind::Client)
        .harmless();
    type Request = Csr;
    type Reply = ClientCredential;
}

/// Changes the password, in two steps.
pub struct ChangePassword;

impl Endpoint for ChangePassword {
    const DESCRIPTION: Description =
        Description::new(0x010a, ServiceName::As, "change_password").local().signed_by(SenderKind::Client);
    type Request = ChangePasswordRequest;
    type Reply = ChangePasswordReply;
}

/// A step of changing the password.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum ChangePasswordRequest {
    /// The first.
    Begin {
        /// A login with the old password.
        factor: SecondFactor,
        /// OPAQUE registration request of the new one (RFC 9807 §5.2).
        opaque: Opaque<MAX_OPAQUE>,
    } = 1,
    /// The second.
    Finish {
        /// From the first.
        registration: [u8; 16],
        /// OPAQUE registration record (RFC 9807 §5.2).
        record: Opaque<MAX_OPAQUE>,
    } = 2,
}

/// What a step of changing the password is answered with.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum ChangePasswordReply {
    /// The first.
    Begun(RegisterInitReply) = 1,
    /// The second: from now on only the new password logs in.
    Done = 2,
}

/// Deletes the caller's user with all that is its own, and revokes its clients.
pub struct DeleteUser;

impl Endpoint for DeleteUser {
    const DESCRIPTION: Description =
        Description::new(0x010b, ServiceName::As, "delete_user").local().signed_by(SenderKind::Client);
    type Request = DeleteUserRequest;
    type Reply = Empty;
}

/// Asks for the end of a user.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DeleteUserRequest {
    /// The completed login.
    pub factor: SecondFactor,
    /// Domains where the user took tokens, which are to be told: the AS knows none of them.
    pub domains: List<Fqdn, MAX_NOTICES>,
}

/// Domains that a deleted user can have told (04).
pub const MAX_NOTICES: usize = 100;
