//! One request and its answer.

use std::{error::Error, io, time::SystemTime};

use bytes::{Bytes, BytesMut};
use http::{
    StatusCode,
    header::{CONTENT_TYPE, DATE, RETRY_AFTER},
};
use httpdate::parse_http_date;
use phoenix_core::port::TransportError;
use reqwest::{Client, Request, RequestBuilder, Response};

use super::resolver::AddressRefused;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// In lower case, without parameters.
    pub(crate) media_type: String,
    pub(crate) body: Bytes,
    /// When to come back, where a number of seconds was told.
    pub(crate) retry_after_s: Option<u64>,
    /// What the clock of the server said, where it told: to the second.
    pub(crate) date: Option<SystemTime>,
}

/// Why nothing came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unanswered {
    pub(crate) error: TransportError,
    /// Whether nothing was sent, since no connection came about.
    pub(crate) is_unsent: bool,
}

/// Sends the request and reads the answer, of at most so many bytes.
pub(crate) async fn exchange(request: RequestBuilder, limit: usize) -> Result<Answer, Unanswered> {
    let (client, request) = request.build_split();
    let request = request.map_err(|error| Unanswered::from(&error))?;
    // The connector asks the resolver for names alone: what reads as an address would go unchecked.
    if request.url().domain().is_none() {
        return Err(Unanswered { error: TransportError::Refused, is_unsent: true });
    }
    answered(&client, request, limit).await
}

/// The same for an address that the operator chose, whatever it is.
pub(crate) async fn answered(client: &Client, request: Request, limit: usize) -> Result<Answer, Unanswered> {
    let too_long = Unanswered { error: TransportError::Refused, is_unsent: false };
    let mut response = client.execute(request).await.map_err(|error| Unanswered::from(&error))?;
    let status = response.status();
    let media_type = media_type(&response);
    let retry_after = response.headers().get(RETRY_AFTER);
    let retry_after_s = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
    let date = response.headers().get(DATE).and_then(|value| parse_http_date(value.to_str().ok()?).ok());
    let announced = response.content_length().unwrap_or_default();
    if usize::try_from(announced).map_or(true, |length| length > limit) {
        return Err(too_long);
    }
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(|error| Unanswered::from(&error))? {
        if body.len().saturating_add(piece.len()) > limit {
            return Err(too_long);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer { status, media_type, body: body.freeze(), retry_after_s, date })
}

impl From<&reqwest::Error> for Unanswered {
    fn from(error: &reqwest::Error) -> Self {
        Self { error: reason(error), is_unsent: error.is_connect() }
    }
}

impl From<Unanswered> for TransportError {
    fn from(Unanswered { error, is_unsent: _ }: Unanswered) -> Self {
        error
    }
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
pub(super) fn reason(error: &(dyn Error + 'static)) -> TransportError {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{io::ErrorKind, net::TcpListener, time::Duration};

    use phoenix_core::port::TransportError;
    use rustls::RootCertStore;

    use super::exchange;
    use crate::tls;

    #[tokio::test]
    async fn t28_a_host_that_reads_as_an_address_is_not_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client(RootCertStore::empty()).unwrap())
            .no_proxy()
            .timeout(Duration::from_secs(1))
            .build()
            .unwrap();

        for host in ["127.0.0.1", "127.0x1", "0x7f000001", "2130706433", "127.1", "[::1]", "[::ffff:7f00:1]"]
        {
            let answer = exchange(client.get(format!("https://{host}:{port}/")), 10).await;

            assert_eq!(answer.unwrap_err().error, TransportError::Refused, "{host}");
            assert_eq!(listener.accept().map(drop).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
        }
    }
}
