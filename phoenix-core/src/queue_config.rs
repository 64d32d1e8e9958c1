//! How queue configs are sealed by clients and opened by their QS (06, "Delivery").

use crate::{
    Failure, Fqdn, Reject,
    api::queue::{ClientQueueConfig, QueueConfig, QueueConfigTbs, SealedQueueConfig, SealingKey},
    crypto::{Chance, HpkeCiphertext, HpkeSecretKey, Signer, VerifyingKey, sha256},
    wire::{Flag, Opaque, Wire},
};

impl QueueConfigTbs {
    /// Whether any DS may use the config: it names none.
    #[must_use]
    pub fn any(&self) -> Flag {
        self.audience.is_none().into()
    }

    /// Signs the config with the client's auth key and seals it to a queue config key of its QS, whose domain is
    /// `domain`. Made afresh for every group and AddPackage, so that no two are equal.
    ///
    /// # Errors
    /// [`Failure::Broken`] where the signer cannot sign now; [`Reject::Malformed`] where the key is none.
    pub fn seal(
        self,
        domain: &Fqdn,
        signer: &dyn Signer,
        key: &SealingKey,
        chance: &mut Chance,
    ) -> Result<ClientQueueConfig, Failure> {
        let any = self.any();
        let signature = signer.sign(LABEL, &self.encode()).map_err(crate::Fault::from)?;
        let config = QueueConfig { payload: self, signature };
        let HpkeCiphertext { enc, ciphertext } =
            key.key.seal(INFO, &any.encode(), &config.encode(), chance)?;
        let sealed =
            HpkeCiphertext { enc, ciphertext: Opaque::new(ciphertext.bytes()).map_err(Reject::from)? };
        Ok(ClientQueueConfig {
            domain: domain.clone(),
            any,
            sealed: SealedQueueConfig { key: key.id, sealed },
        })
    }
}

impl SealedQueueConfig {
    /// Opens the config. Its signature is not checked: whose it is, only the content tells
    /// ([`QueueConfig::verify`]).
    ///
    /// # Errors
    /// [`Reject::Malformed`] where it was not sealed to this key with this `any`, or does not fit it.
    pub fn open(&self, any: Flag, secret: &HpkeSecretKey) -> Result<QueueConfig, Reject> {
        let opened = secret.open(INFO, &any.encode(), &self.sealed)?;
        let config = QueueConfig::decode(&opened)?;
        if config.payload.any() != any {
            return Err(Reject::Malformed("audience"));
        }
        Ok(config)
    }

    /// SHA-256 of the encoding: names the config to the DS that is told that its queue is gone (07).
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(&self.encode())
    }
}

impl QueueConfig {
    /// Checks that the client with this auth key made the config.
    ///
    /// # Errors
    /// [`Reject::Unauthenticated`] where it did not.
    pub fn verify(&self, auth_key: &VerifyingKey) -> Result<(), Reject> {
        auth_key.verify(LABEL, &self.payload.encode(), &self.signature)
    }
}

/// The label of a config's signature.
const LABEL: &str = "QueueConfig";
/// The HPKE info of a sealed config (06).
const INFO: &[u8] = b"phoenix queue config";

#[cfg(test)]
mod tests {
    use super::LABEL;
    use crate::{
        ConfigId, Fqdn, KeyId, QsClientId, Reject,
        api::queue::{MAX_CONFIG, QueueConfigTbs, SealedQueueConfig, SealingKey},
        crypto::{Chance, HpkeCiphertext, HpkeSecretKey, SigningKey, Suite},
        time::Month,
        wire::{Flag, Opaque, Wire},
    };

    #[test]
    fn a_config_opens_for_its_qs_only_and_names_its_client() {
        let mut chance = Chance::from_seed([1; 32]);
        let (secret, key) = sealing_key(&mut chance);
        let auth = SigningKey::generate(Suite::Ed25519, &mut chance);
        let payload = payload(None);

        let config = payload.clone().seal(&domain(), &auth, &key, &mut chance).expect("sealed");

        let opened = config.sealed.open(config.any, &secret).expect("opens");
        assert_eq!(opened.payload, payload);
        assert_eq!(opened.verify(&auth.verifying_key()), Ok(()));
        let other = SigningKey::generate(Suite::Ed25519, &mut chance);
        assert_eq!(opened.verify(&other.verifying_key()), Err(Reject::Unauthenticated));
        let (elsewhere, _) = sealing_key(&mut chance);
        assert!(config.sealed.open(config.any, &elsewhere).is_err());
        assert!(config.sealed.open(Flag::No, &secret).is_err());
    }

    #[test]
    fn a_config_that_lies_about_its_audience_does_not_open() {
        let mut chance = Chance::from_seed([1; 32]);
        let (secret, key) = sealing_key(&mut chance);
        let auth = SigningKey::generate(Suite::Ed25519, &mut chance);
        let payload = payload(Some(domain()));
        let signature = auth.sign(LABEL, &payload.encode());
        let config = crate::api::queue::QueueConfig { payload, signature };

        let sealed =
            key.key.seal(super::INFO, &Flag::Yes.encode(), &config.encode(), &mut chance).expect("sealed");

        let HpkeCiphertext { enc, ciphertext } = sealed;
        let sealed = HpkeCiphertext { enc, ciphertext: Opaque::new(ciphertext.bytes()).expect("short") };
        let lie = SealedQueueConfig { key: key.id, sealed };
        assert_eq!(lie.open(Flag::Yes, &secret), Err(Reject::Malformed("audience")));
    }

    #[test]
    fn t20_a_config_is_no_longer_than_the_longest_names_make_it() {
        let mut chance = Chance::from_seed([1; 32]);
        let (_, key) = sealing_key(&mut chance);
        let longest =
            format!("{}.test", ["a".repeat(62), "b".repeat(62), "c".repeat(62), "d".repeat(55)].join("."));
        let auth = SigningKey::generate(Suite::P256, &mut chance);
        let payload = QueueConfigTbs { push_key: Some([3; 32].into()), ..payload(longest.parse().ok()) };
        assert!(payload.audience.is_some());

        assert!(payload.seal(&domain(), &auth, &key, &mut chance).is_ok());

        let sealed = |bytes: usize| HpkeCiphertext::<{ 2 << 20 }> {
            enc: Opaque::new(vec![0; 32]).expect("short"),
            ciphertext: Opaque::new(vec![0; bytes]).expect("short"),
        };
        let decoded = |bytes| SealedQueueConfig::decode(&[key.id.encode(), sealed(bytes).encode()].concat());
        assert!(decoded(MAX_CONFIG).is_ok());
        assert!(decoded(MAX_CONFIG + 1).is_err());
    }

    fn payload(audience: Option<Fqdn>) -> QueueConfigTbs {
        let (client, config) = (QsClientId([1; 16]), ConfigId([2; 16]));
        QueueConfigTbs { client, config, audience, expires: Month(24_300), generation: 0, push_key: None }
    }

    fn sealing_key(chance: &mut Chance) -> (HpkeSecretKey, SealingKey) {
        let secret = HpkeSecretKey::generate(Suite::Ed25519, chance);
        let key = secret.public_key().clone();
        (secret, SealingKey { id: KeyId::of(&key), key, not_before: 0, not_after: u64::MAX })
    }

    fn domain() -> Fqdn {
        "alpha.test".parse().expect("domain")
    }
}
