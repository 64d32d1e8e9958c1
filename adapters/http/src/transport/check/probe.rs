//! Connects to a host by each of its addresses.

use std::{io, sync::Arc};

use futures::future::join_all;
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{
    super::{Parts, circuits::CONNECT_TIME},
    Tried, causes,
};
use crate::{tls::with_own_sessions, well_known::Host};

/// Connects to all addresses of a host that may be connected to.
pub(super) async fn connect(parts: &Parts, host: &Host) -> Tried<Vec<TcpStream>> {
    let led = parts.resolver.survey(host).await.map_err(|error| causes::unresolved(&*error, host))?;
    if led.allowed.is_empty() {
        return Err(causes::unconnectable(&led.refused, host));
    }
    let tries = led.allowed.iter().map(async |address| {
        timeout(CONNECT_TIME, TcpStream::connect(address)).await.unwrap_or_else(|late| Err(late.into()))
    });
    let (tried, mut connections, mut last) = (led.allowed.len(), Vec::new(), None);
    for outcome in join_all(tries).await {
        match outcome {
            Ok(connection) => connections.push(connection),
            Err(error) => last = Some(error),
        }
    }
    if let Some(error) = last.filter(|_| connections.is_empty()) {
        return Err(causes::unreachable(tried, &error, host));
    }
    let first = led.allowed.first().map(|address| address.ip().to_string()).unwrap_or_default();
    let mut found = format!("{} of {tried} addresses take connections, such as {first}", connections.len());
    if !led.refused.is_empty() {
        found.push_str("; others are private, reserved or this server's own, and nobody goes there");
    }
    Ok((connections, found))
}

/// Makes each of them secure.
pub(super) async fn secure(parts: &Parts, host: &Host, connections: Vec<TcpStream>) -> Tried<()> {
    let insecure = |error: io::Error| causes::insecure(&error, host);
    let name =
        ServerName::try_from(host.name.to_string()).map_err(|error| insecure(io::Error::other(error)))?;
    let connector = TlsConnector::from(Arc::new(with_own_sessions(parts.circuits.tls())));
    let handshakes = connections.into_iter().map(|stream| connector.connect(name.clone(), stream));
    for outcome in join_all(handshakes).await {
        outcome.map_err(insecure)?;
    }
    Ok(((), "the certificate is trusted, and for this name".to_owned()))
}
