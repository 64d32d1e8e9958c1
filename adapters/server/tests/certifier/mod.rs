//! Certificates for the homeservers that a test starts.

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};

/// An authority that lives as long as the test.
pub(crate) struct Certifier {
    /// Its own certificate.
    pub(crate) authority: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Certifier {
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = parameters.self_signed(&key).unwrap();
        Self { authority, issuer: Issuer::new(parameters, key) }
    }

    /// A certificate for these names, and its key, in PEM.
    pub(crate) fn certify(&self, names: &[&str]) -> (String, String) {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}
