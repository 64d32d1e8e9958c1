//! One request and its answer.

use std::{error::Error, io};

use bytes::{Bytes, BytesMut};
use http::{StatusCode, header::CONTENT_TYPE};
use phoenix_core::port::TransportError;
use reqwest::{RequestBuilder, Response};

use super::resolver::AddressRefused;

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// In lower case, without parameters.
    pub(super) media_type: String,
    pub(super) body: Bytes,
}

/// Sends the request and reads the answer, of at most so many bytes.
pub(super) async fn exchange(request: RequestBuilder, limit: usize) -> Result<Answer, TransportError> {
    let mut response = request.send().await.map_err(|error| reason(&error))?;
    let status = response.status();
    let media_type = media_type(&response);
    let announced = response.content_length().unwrap_or_default();
    if usize::try_from(announced).map_or(true, |length| length > limit) {
        return Err(TransportError::Refused);
    }
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(|error| reason(&error))? {
        if body.len().saturating_add(piece.len()) > limit {
            return Err(TransportError::Refused);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer { status, media_type, body: body.freeze() })
}

/// What a status without the protocol's own answer means. A redirect is not followed, and so a refusal.
pub(super) fn verdict(status: StatusCode) -> TransportError {
    if status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
    {
        TransportError::Unreachable
    } else {
        TransportError::Refused
    }
}

fn media_type(response: &Response) -> String {
    let value =
        response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether there is nobody, or somebody who must not be talked to.
fn reason(error: &reqwest::Error) -> TransportError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if is_refusal(error) {
            return TransportError::Refused;
        }
        // An I/O error's source is that of what it wraps, not what it wraps.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = wrapped.map(|it| it as &(dyn Error + 'static)).or_else(|| error.source());
    }
    TransportError::Unreachable
}

fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    error.is::<AddressRefused>() || matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))
}
