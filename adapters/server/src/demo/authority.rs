//! A certificate authority that lives as long as the play.

use phoenix_core::Fqdn;
use phoenix_http::ServerTls;
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};

/// Signs the certificates of the play's servers. Its key is never written anywhere.
pub(crate) struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?;
        Ok(Self { certificate, issuer: Issuer::new(parameters, key) })
    }

    /// The authority's certificate, in PEM: what everyone in the play trusts.
    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate for a domain.
    pub(crate) fn certify(&self, domain: &Fqdn) -> anyhow::Result<ServerTls> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([domain.to_string()])?.signed_by(&key, &self.issuer)?;
        Ok(ServerTls::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())?)
    }
}
