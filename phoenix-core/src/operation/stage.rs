//! The stages of a call. Each consumes the one before, and only the driver moves a call from one to the next.

use std::sync::Arc;

use bytes::Bytes;

use super::{Frame, Operation, Proven, RequestOf};
use crate::{
    Fqdn, Refusal, Reject, Timestamp,
    api::{Access, Description, Endpoint, Replay, SenderKind},
    port::{PartitionKey, RowKey},
    time::MINUTE,
    token::{Class, SpentNonce, TokenKeys},
    wire::{Call, VERSION, Wire},
};

/// What a call consumes in its own batch, so that its effects happen once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fare {
    /// Nothing.
    Free,
    /// A token: its nonce must not have been spent.
    Token(SpentNonce),
    /// A frame: it must not have been accepted before, and is remembered until its window ends.
    Frame(Bytes, Timestamp),
    /// A row of a lane: it must still be there.
    Row {
        /// The lane.
        lane: PartitionKey,
        /// The row.
        row: RowKey,
    },
    /// An alarm, which has rung.
    Alarm(PartitionKey),
}

/// A call whose parts are well formed, and whose token's arithmetic is right.
pub struct Decoded<O: Operation> {
    request: RequestOf<O>,
    frame: Option<Frame>,
    fare: Fare,
    bytes: usize,
}

impl<O: Operation> Decoded<O> {
    /// `description` is the endpoint's, with the cost in force.
    pub(crate) fn from_client(
        call: &Call,
        description: &Description,
        domain: &Fqdn,
        tokens: &TokenKeys,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        const { assert!(O::Endpoint::DESCRIPTION.body_limit <= crate::wire::MAX_BODY) };
        check_envelope(description, call)?;
        let frame = match &call.auth {
            Some(frame) => {
                check_window(frame.issued_at, now)?;
                Some(Frame::new(call, frame, domain, description.service))
            }
            None => None,
        };
        check_sender(description.sender, frame.as_ref())?;
        let request = RequestOf::<O>::decode(&call.body)?;
        let fare = match (description.token, &call.token, &frame) {
            (Some(class), Some(token), _) => {
                let spent = tokens.verify(token, class, now).map_err(|reject| wanting(class, reject))?;
                Fare::Token(spent)
            }
            (Some(class), None, _) => return Err(wanting(class, Reject::TokenRequired)),
            (None, Some(_), _) => return Err(Reject::Malformed("token").into()),
            (None, None, Some(frame)) if description.replay == Replay::Frame => {
                Fare::Frame(frame.identity(), now.plus_secs(2 * FRAME_WINDOW_S))
            }
            (None, None, _) => Fare::Free,
        };
        Ok(Self { request, frame, fare, bytes: call.body.len() })
    }

    /// A call that this homeserver makes itself.
    pub(crate) const fn internal(request: RequestOf<O>, fare: Fare) -> Self {
        Self { request, frame: None, fare, bytes: 0 }
    }

    /// What is asked.
    pub const fn request(&self) -> &RequestOf<O> {
        &self.request
    }

    /// The frame.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where there is none.
    pub fn frame(&self) -> Result<&Frame, Reject> {
        self.frame.as_ref().ok_or(Reject::Unauthenticated)
    }

    /// How long its body was; 0 where the homeserver made it.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the call consumes.
    pub const fn fare(&self) -> &Fare {
        &self.fare
    }
}

fn check_envelope(description: &Description, call: &Call) -> Result<(), Reject> {
    if call.version != VERSION {
        return Err(Reject::UnsupportedVersion);
    }
    if call.endpoint != description.id || description.access == Access::Internal {
        return Err(Reject::Malformed("endpoint"));
    }
    if call.body.len() > description.body_limit {
        return Err(Reject::TooLarge("body"));
    }
    Ok(())
}

/// A refusal for a wrong clock carries the right time, in seconds (02).
fn check_window(issued_at: u64, now: Timestamp) -> Result<(), Refusal> {
    if issued_at.abs_diff(now.as_secs()) > FRAME_WINDOW_S {
        return Err(Refusal { reject: Reject::Unauthenticated, detail: now.as_secs().encode() });
    }
    Ok(())
}

/// A refusal for want of a good token names the class, which an operator may have changed (05).
fn wanting(class: Class, reject: Reject) -> Refusal {
    Refusal { reject, detail: class.encode() }
}

fn check_sender(expected: SenderKind, frame: Option<&Frame>) -> Result<(), Reject> {
    match (expected, frame.map(|frame| frame.sender().kind())) {
        (SenderKind::Nobody | SenderKind::LeafOrNobody, None) => Ok(()),
        (SenderKind::LeafOrNobody, Some(SenderKind::Leaf))
        | (SenderKind::QsUserOrClient, Some(SenderKind::QsUser | SenderKind::QsClient)) => Ok(()),
        (expected, Some(kind)) if expected == kind => Ok(()),
        (SenderKind::Nobody, Some(_)) => Err(Reject::Malformed("auth")),
        _ => Err(Reject::Unauthenticated),
    }
}

/// A call whose sender is known.
pub struct Authenticated<O: Operation> {
    call: Arc<Decoded<O>>,
    sender: Proven<O::Sender>,
}

impl<O: Operation> Authenticated<O> {
    pub(crate) const fn new(call: Arc<Decoded<O>>, sender: Proven<O::Sender>) -> Self {
        Self { call, sender }
    }

    pub(crate) fn authorise(self, allowed: Allowed) -> Authorised<O> {
        Authorised { call: self.call, sender: self.sender, allowed }
    }
}

/// Shows that limits and policy let a call pass; made by the driver only.
#[derive(Clone, Debug)]
pub(crate) struct Allowed {
    /// For each part of a call whose parts are limited one by one: for how many seconds it is held back.
    pub(crate) held_back: Arc<[Option<u32>]>,
}

/// A call that may be decided.
pub struct Authorised<O: Operation> {
    call: Arc<Decoded<O>>,
    sender: Proven<O::Sender>,
    allowed: Allowed,
}

impl<O: Operation> Authorised<O> {
    /// What is asked.
    pub fn request(&self) -> &RequestOf<O> {
        self.call.request()
    }

    /// Who asks.
    pub const fn sender(&self) -> &O::Sender {
        self.sender.get()
    }

    /// The frame.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where there is none.
    pub fn frame(&self) -> Result<&Frame, Reject> {
        self.call.frame()
    }

    /// For how many seconds the limits hold back a part of the call, counted as in [`Loads::Each`](crate::limit::Loads::Each); none where it
    /// may go on.
    pub fn held_back(&self, part: usize) -> Option<u32> {
        self.allowed.held_back.get(part).copied().flatten()
    }
}

/// How far a frame's time may be from the server's clock, in seconds (02).
pub const FRAME_WINDOW_S: u64 = 5 * MINUTE;
