//! Takes calls in, within bounds that hold before anything is decoded (02, "HTTP binding"; 10, T20).

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{body::Body, extract::Request};
use bytes::Bytes;
use futures::StreamExt;
use http::{
    HeaderMap,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use phoenix_core::{
    ErrorReply, Reject,
    api::{Binding, Description},
    wire::{Call, VERSION, Wire},
};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{
    memory::{Charge, Full, Memory},
    refused,
};
use crate::{MEDIA_TYPE, privacy_pass, token};

/// Reads requests, as many at once as fit into memory.
pub(super) struct Intake {
    memory: Arc<Memory>,
}

impl Intake {
    /// With so much memory.
    pub(super) const fn new(memory: Arc<Memory>) -> Self {
        Self { memory }
    }

    /// Reads the call of a request to an endpoint, for a caller at this address.
    ///
    /// # Errors
    /// What the caller is told: `too_large`, `malformed`, `unsupported_version`, or `unavailable` while there is
    /// no memory for it.
    pub(super) async fn read(
        &self,
        endpoint: &Description,
        request: Request,
        address: Option<IpAddr>,
    ) -> Result<(Call, Charge), ErrorReply> {
        let (parts, body) = request.into_parts();
        let token = token::token_of(&parts.headers).map_err(refused)?;
        check_headers(&parts.headers, endpoint).map_err(refused)?;
        let charge = self.memory.charge(address, FLOOR).map_err(full).map_err(refused)?;
        let reading = collect(body, endpoint.body_limit.saturating_add(ENVELOPE), charge);
        let (bytes, charge) =
            timeout(BODY_TIME, reading).await.unwrap_or(Err(Reject::Malformed("body"))).map_err(refused)?;
        let call = match endpoint.binding {
            Binding::PrivacyPass => {
                privacy_pass::call(endpoint, &parts.headers, Bytes::copy_from_slice(&bytes))
            }
            Binding::Post | Binding::Json | Binding::WebSocket | Binding::None => decode(&bytes, endpoint),
        };
        let mut call = call.map_err(refused)?;
        if call.token.is_some() {
            call.body.wipe();
            return Err(refused(Reject::Malformed("token")));
        }
        call.token = token;
        Ok((call, charge))
    }
}

/// Makes the charge of a call that of its reply, which then holds it until it is sent.
///
/// # Errors
/// `unavailable` while there is no memory for the reply.
pub(super) fn charged(mut charge: Charge, reply: Bytes) -> Result<Bytes, ErrorReply> {
    charge.resize(reply.len().saturating_add(FLOOR)).map_err(full).map_err(refused)?;
    Ok(charge.with(reply))
}

/// Collects a body and pays for each piece of it when it comes: who announces much and sends nothing holds
/// nothing. It may hold the key of a group: nothing of it is left where it was collected.
async fn collect(
    body: Body,
    limit: usize,
    mut charge: Charge,
) -> Result<(Zeroizing<Vec<u8>>, Charge), Reject> {
    let mut pieces = body.into_data_stream();
    let mut bytes = Zeroizing::new(Vec::new());
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Reject::Malformed("body"))?;
        if bytes.len().saturating_add(piece.len()) > limit {
            return Err(TOO_LARGE);
        }
        charge.grow(piece.len()).map_err(full)?;
        append(&mut bytes, &piece);
    }
    Ok((bytes, charge))
}

/// Appends a piece. A vector that grows by itself leaves what it had where it was.
fn append(bytes: &mut Zeroizing<Vec<u8>>, piece: &[u8]) {
    let needed = bytes.len().saturating_add(piece.len());
    if needed > bytes.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(bytes.capacity().saturating_mul(2))));
        larger.extend_from_slice(bytes);
        *bytes = larger;
    }
    bytes.extend_from_slice(piece);
}

const fn full(_: Full) -> Reject {
    Reject::Unavailable(FULL_RETRY_S)
}

fn check_headers(headers: &HeaderMap, endpoint: &Description) -> Result<(), Reject> {
    let expected = match endpoint.binding {
        Binding::PrivacyPass => privacy_pass::REQUEST_TYPE,
        Binding::Post | Binding::Json | Binding::WebSocket | Binding::None => MEDIA_TYPE,
    };
    let media_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    if !media_type.is_some_and(|it| it.eq_ignore_ascii_case(expected.as_bytes())) {
        return Err(Reject::Malformed("content type"));
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > endpoint.body_limit.saturating_add(ENVELOPE)) {
        return Err(TOO_LARGE);
    }
    Ok(())
}

/// Decodes a call that must be for this endpoint.
pub(super) fn decode(bytes: &[u8], endpoint: &Description) -> Result<Call, Reject> {
    // Before the rest: the calls of another version may look otherwise.
    if bytes.first_chunk().is_some_and(|version| u16::from_be_bytes(*version) != VERSION) {
        return Err(Reject::UnsupportedVersion);
    }
    let mut call = Call::decode(bytes).map_err(|_| Reject::Malformed("call"))?;
    let refused = match &call {
        call if call.endpoint != endpoint.id => Some(Reject::Malformed("endpoint")),
        call if call.body.len() > endpoint.body_limit => Some(TOO_LARGE),
        _ => None,
    };
    match refused {
        None => Ok(call),
        Some(reject) => {
            call.body.wipe();
            Err(reject)
        }
    }
}

const TOO_LARGE: Reject = Reject::TooLarge("body");
/// What a call is charged at least: about what its task holds besides the request, which bounds the tasks too.
const FLOOR: usize = 1 << 10;
/// Room around the body: version, endpoint and the frame, whose largest sender is a client credential.
const ENVELOPE: usize = 16 << 10;
/// How long a body may take; 2 MiB come in that time over a line of 600 kbit/s.
const BODY_TIME: Duration = Duration::from_secs(30);
/// When to come back while there is no memory: calls are over in moments.
const FULL_RETRY_S: u32 = 1;

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::append;

    #[test]
    fn what_is_collected_moves_only_into_larger_memory_and_by_hand() {
        let mut bytes = Zeroizing::new(Vec::new());
        let mut expected = Vec::new();
        let mut moves = 0;
        for number in 0..200_u8 {
            let piece = vec![number; usize::from(number)];
            let (place, capacity) = (bytes.as_ptr(), bytes.capacity());
            append(&mut bytes, &piece);
            moves += usize::from(bytes.as_ptr() != place);
            assert!(bytes.as_ptr() == place || bytes.capacity() > capacity);
            expected.extend_from_slice(&piece);
        }
        assert_eq!(*bytes, expected);
        assert!((1..20).contains(&moves), "{moves}");
    }
}
