//! Why something did not succeed.

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

impl ClientError {
    /// Whether it may succeed later, unchanged.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(reply) => {
                matches!(reply.code, ErrorCode::Unavailable | ErrorCode::RateLimited | ErrorCode::Internal)
            }
            Self::Unverified(_)
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
