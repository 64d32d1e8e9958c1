//! A certificate authority that lives as long as a test.

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

use crate::ServerTls;

pub(crate) struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(parameters, key) }
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate for `alpha.test` and the names below it.
    pub(crate) fn server(&self) -> ServerTls {
        self.server_of("alpha.test", 4096)
    }

    /// One for another name and those below it, whose last year is this.
    pub(crate) fn server_of(&self, name: &str, last_year: i32) -> ServerTls {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new([name.to_owned(), format!("*.{name}")]).unwrap();
        parameters.not_after = date_time_ymd(last_year, 12, 31);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        ServerTls::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }
}
