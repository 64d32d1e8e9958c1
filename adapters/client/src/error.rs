//! Why something did not succeed.

use bytes::Bytes;
use phoenix_core::{
    ErrorCode, ErrorReply, Failure, Reject, crypto::SignerError, port::TransportError, wire::TooLong,
};

/// Why the client could not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The homeserver refused; trying again without a change will not help, or not soon.
    #[error("{0}")]
    Refused(ErrorReply),
    /// No answer came, however often it was tried. Whether the call was carried out is unknown; what is
    /// idempotent by its id may be tried again.
    #[error("{0}")]
    Unreachable(TransportError),
    /// What came from outside is not what it claims to be.
    #[error("what came does not verify: {0}")]
    Unverified(Reject),
    /// What came from outside is not what was asked for; the text says what.
    #[error("unexpected answer: {0}")]
    Unexpected(&'static str),
    /// It cannot be done in the client's present state; the text says why.
    #[error("{0}")]
    State(&'static str),
    /// Registration asks for what the settings do not bring: of all ways to be let in, the one that lacks least.
    /// Nothing where registration is closed.
    #[error("registration is closed, or asks for more than the settings bring: {0:?}")]
    Demanded(Vec<Missing>),
    /// A homeserver asks for more work than the settings allow: so many bits.
    #[error("{0} bits of work are asked for, more than the settings allow")]
    TooMuchWork(u8),
    /// The password is wrong, or there is no such user: nobody is told which.
    #[error("wrong user or password")]
    WrongPassword,
    /// A homeserver shows different token keys to different clients, or did: no tokens of it are spent until
    /// [`Client::check_token_keys`](crate::Client::check_token_keys) finds nothing wrong any more.
    #[error("the homeserver's token keys are not the same for everyone")]
    TokenKeysDiffer,
    /// Others were faster, however often it was tried again.
    #[error("others were faster each time")]
    Outrun,
    /// The MLS library refused.
    #[error("MLS, {doing}: {cause}")]
    Mls {
        /// What was being done.
        doing: &'static str,
        /// What the library said.
        cause: String,
    },
    /// The client's signing key cannot be used.
    #[error("the signing key cannot be used")]
    Signer,
    /// Saved state cannot be read: another key sealed it, it is of another version, or the store failed.
    #[error("saved state: {0}")]
    Saved(&'static str),
}

/// What registration asks for, and the settings do not bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// [`Settings::invitation`](crate::Settings::invitation).
    Invitation,
    /// More work than [`Settings::work_bits`](crate::Settings::work_bits) allows.
    Work {
        /// How many bits are asked for; each one more doubles the work.
        bits: u8,
    },
    /// [`Settings::external`](crate::Settings::external): what the operator's own judge wants to see.
    External {
        /// The operator's words for it.
        hint: Bytes,
    },
}

impl ClientError {
    /// Whether it may succeed later, unchanged.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            // A token that was spent says nothing of the call: it may have been carried out by a try whose answer was
            // lost, and else can be with another token.
            Self::Refused(reply) => matches!(
                reply.code,
                ErrorCode::Unavailable | ErrorCode::RateLimited | ErrorCode::Internal | ErrorCode::TokenSpent
            ),
            Self::Demanded(_)
            | Self::TooMuchWork(_)
            | Self::WrongPassword
            | Self::TokenKeysDiffer
            | Self::Unverified(_)
            | Self::Unexpected(_)
            | Self::State(_)
            | Self::Outrun
            | Self::Mls { .. }
            | Self::Signer
            | Self::Saved(_) => false,
        }
    }

    /// The code with which the homeserver refused, if it did.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(reply) => Some(reply.code),
            _ => None,
        }
    }

    /// Whether the homeserver knows nobody by the key that signed. Where it is our clock that it refuses, its own time stands
    /// beside (02).
    pub(crate) fn is_unknown_sender(&self) -> bool {
        matches!(self, Self::Refused(reply) if reply.code == ErrorCode::Unauthenticated && reply.detail.is_empty())
    }
}

/// Wraps what the MLS library says.
pub(crate) fn mls<E: std::fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> ClientError {
    move |error| ClientError::Mls { doing, cause: error.to_string() }
}

impl From<Reject> for ClientError {
    fn from(reject: Reject) -> Self {
        Self::Unverified(reject)
    }
}

impl From<Failure> for ClientError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => Self::Unverified(refusal.reject),
            Failure::Broken(_) => Self::Signer,
        }
    }
}

impl From<SignerError> for ClientError {
    fn from(_: SignerError) -> Self {
        Self::Signer
    }
}

impl From<TooLong> for ClientError {
    fn from(_: TooLong) -> Self {
        Self::State("longer than the protocol allows")
    }
}
