//! What a peer may be told when a call fails (02, "Errors").

use bytes::Bytes;
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::{
    Fault,
    token::Class,
    wire::{Opaque, Wire},
};

/// Why a call is refused: a code, and at most a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// Not decodable, or a field breaks a rule; the text names the field, never its value.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// The peer speaks a version that this server does not.
    #[error("unsupported version")]
    UnsupportedVersion,
    /// The frame is missing, expired, replayed, or its signature is wrong.
    #[error("unauthenticated")]
    Unauthenticated,
    /// The call wants a token of a class that it did not bring.
    #[error("token required")]
    TokenRequired,
    /// The token was not issued here, or its key has ended.
    #[error("token invalid")]
    TokenInvalid,
    /// The token was spent before.
    #[error("token spent")]
    TokenSpent,
    /// Authenticated, but not allowed.
    #[error("forbidden")]
    Forbidden,
    /// Absent, or not to be told apart from absent.
    #[error("not found")]
    NotFound,
    /// A race was lost; for a commit, with the group's current epoch.
    #[error("conflict")]
    Conflict(Option<u64>),
    /// The commit must cover the stored proposals, which the refusal's detail carries (07).
    #[error("pending proposals")]
    PendingProposals,
    /// The joiner's keys are in the group already.
    #[error("duplicate key")]
    DuplicateKey,
    /// The name or id is taken.
    #[error("already exists")]
    AlreadyExists,
    /// Over a limit; the text names it.
    #[error("too large: {0}")]
    TooLarge(&'static str),
    /// Over an allowance; again in so many seconds.
    #[error("rate limited")]
    RateLimited(u32),
    /// Something broke here, and nothing was changed.
    #[error("internal")]
    Internal,
    /// A dependency does not answer; again in so many seconds.
    #[error("unavailable")]
    Unavailable(u32),
}

/// A reject with what else the protocol gives the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reject: Reject,
    /// More of it, at most 64 KiB; empty for most.
    pub detail: Bytes,
}

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The peer is to blame, or to be told why.
    Refused(Refusal),
    /// We are to blame.
    Broken(Fault),
}

/// The error codes of the wire.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, TlsSerialize, TlsDeserializeBytes, TlsSize,
)]
#[repr(u16)]
pub enum ErrorCode {
    /// See [`Reject::Malformed`].
    Malformed = 1,
    /// See [`Reject::UnsupportedVersion`].
    UnsupportedVersion = 2,
    /// See [`Reject::Unauthenticated`].
    Unauthenticated = 3,
    /// See [`Reject::TokenRequired`].
    TokenRequired = 4,
    /// See [`Reject::TokenInvalid`].
    TokenInvalid = 5,
    /// See [`Reject::TokenSpent`].
    TokenSpent = 6,
    /// See [`Reject::Forbidden`].
    Forbidden = 7,
    /// See [`Reject::NotFound`].
    NotFound = 8,
    /// See [`Reject::Conflict`].
    Conflict = 9,
    /// See [`Reject::PendingProposals`].
    PendingProposals = 10,
    /// See [`Reject::DuplicateKey`].
    DuplicateKey = 11,
    /// See [`Reject::AlreadyExists`].
    AlreadyExists = 12,
    /// See [`Reject::TooLarge`].
    TooLarge = 13,
    /// See [`Reject::RateLimited`].
    RateLimited = 14,
    /// See [`Reject::Internal`].
    Internal = 15,
    /// See [`Reject::Unavailable`].
    Unavailable = 16,
}

/// The error as it travels.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize, thiserror::Error)]
#[error("the homeserver refused: {code:?}")]
pub struct ErrorReply {
    /// What kind of error.
    pub code: ErrorCode,
    /// After how many seconds it may be worth trying again.
    pub retry_after_s: Option<u32>,
    /// What the code's description promises: a field's or limit's name, the current epoch (eight bytes), the
    /// versions spoken (two bytes each), the class of the token that is wanted (one byte), stored proposals.
    pub detail: Opaque<MAX_DETAIL>,
}

impl ErrorReply {
    /// The group's current epoch, where a commit lost its race.
    #[must_use]
    pub fn current_epoch(&self) -> Option<u64> {
        match self.code {
            ErrorCode::Conflict => u64::decode(self.detail.as_slice()).ok(),
            _ => None,
        }
    }

    /// The class of token that the call wants, where it lacks a good one: an operator may have changed it (05).
    #[must_use]
    pub fn wanted_class(&self) -> Option<Class> {
        match self.code {
            ErrorCode::TokenRequired | ErrorCode::TokenInvalid => Class::decode(self.detail.as_slice()).ok(),
            _ => None,
        }
    }
}

impl From<Refusal> for ErrorReply {
    fn from(refusal: Refusal) -> Self {
        let Refusal { reject, detail } = refusal;
        let (code, retry_after_s, own_detail) = match reject {
            Reject::Malformed(field) => (ErrorCode::Malformed, None, Bytes::from_static(field.as_bytes())),
            Reject::UnsupportedVersion => {
                (ErrorCode::UnsupportedVersion, None, crate::wire::VERSION.encode())
            }
            Reject::Unauthenticated => (ErrorCode::Unauthenticated, None, Bytes::new()),
            Reject::TokenRequired => (ErrorCode::TokenRequired, None, Bytes::new()),
            Reject::TokenInvalid => (ErrorCode::TokenInvalid, None, Bytes::new()),
            Reject::TokenSpent => (ErrorCode::TokenSpent, None, Bytes::new()),
            Reject::Forbidden => (ErrorCode::Forbidden, None, Bytes::new()),
            Reject::NotFound => (ErrorCode::NotFound, None, Bytes::new()),
            Reject::Conflict(epoch) => {
                (ErrorCode::Conflict, None, epoch.map_or_else(Bytes::new, |it| it.encode()))
            }
            Reject::PendingProposals => (ErrorCode::PendingProposals, None, Bytes::new()),
            Reject::DuplicateKey => (ErrorCode::DuplicateKey, None, Bytes::new()),
            Reject::AlreadyExists => (ErrorCode::AlreadyExists, None, Bytes::new()),
            Reject::TooLarge(limit) => (ErrorCode::TooLarge, None, Bytes::from_static(limit.as_bytes())),
            Reject::RateLimited(after) => (ErrorCode::RateLimited, Some(after), Bytes::new()),
            Reject::Internal => (ErrorCode::Internal, None, Bytes::new()),
            Reject::Unavailable(after) => (ErrorCode::Unavailable, Some(after), Bytes::new()),
        };
        let detail = if detail.is_empty() { own_detail } else { detail };
        Self { code, retry_after_s, detail: Opaque::truncated(detail) }
    }
}

impl From<Failure> for ErrorReply {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::Broken(Fault::Store(_)) => Refusal::from(Reject::Unavailable(STORE_RETRY_S)).into(),
            Failure::Broken(Fault::Broken(_)) => Refusal::from(Reject::Internal).into(),
        }
    }
}

impl From<Reject> for Refusal {
    fn from(reject: Reject) -> Self {
        Self { reject, detail: Bytes::new() }
    }
}

impl From<Reject> for Failure {
    fn from(reject: Reject) -> Self {
        Self::Refused(reject.into())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Broken(fault)
    }
}

impl From<crate::port::StoreError> for Failure {
    fn from(error: crate::port::StoreError) -> Self {
        Self::Broken(Fault::Store(error))
    }
}

/// Longest detail of an error: stored proposals are the largest (02).
pub const MAX_DETAIL: usize = 64 << 10;
/// When to come back after the store failed: soon, since embedded stores recover in moments.
const STORE_RETRY_S: u32 = 1;
