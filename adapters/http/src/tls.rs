//! TLS, with every choice made here and nothing taken from the process (02: TLS 1.3 only).

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::TLS13,
};

/// A certificate chain and its key, ready to serve.
#[derive(Clone)]
pub struct ServerTls(pub(crate) Arc<ServerConfig>);

impl ServerTls {
    /// Takes a certificate chain, the server's own first, and its private key, both in PEM.
    ///
    /// # Errors
    /// [`TlsError`] when they cannot be read or do not fit together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Unreadable("private key"))?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|_| TlsError::Unusable("provider"))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|_| TlsError::Unusable("certificate or key"))?;
        config.alpn_protocols = protocols();
        Ok(Self(Arc::new(config)))
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls(…)")
    }
}

/// Why TLS cannot be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// This is not PEM, or not of what it should be.
    #[error("the {0} cannot be read")]
    Unreadable(&'static str),
    /// It can be read, but not be used.
    #[error("the {0} cannot be used")]
    Unusable(&'static str),
}

/// The roots that browsers trust, as the web has them (08, "Published keys").
pub(crate) fn web_roots() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

/// The roots of an operator's own authority, in PEM.
pub(crate) fn own_roots(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|_| TlsError::Unusable("authority's certificate"))?;
    }
    Ok(roots)
}

/// A client's side, which trusts these roots.
pub(crate) fn client(roots: RootCertStore) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|_| TlsError::Unusable("provider"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols();
    Ok(config)
}

/// The same with sessions of its own: a session resumed elsewhere would join what is to be kept apart (02).
pub(crate) fn with_own_sessions(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    config
}

/// The same for a WebSocket, which is a connection of HTTP/1.1 that nothing else shares.
pub(crate) fn for_web_sockets(config: &ClientConfig) -> ClientConfig {
    let mut config = with_own_sessions(config);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(TlsError::Unreadable("certificate")),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn protocols() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec(), b"http/1.1".to_vec()]
}

/// Sessions that one circuit remembers: it talks to a host or two.
const SESSIONS: usize = 8;
