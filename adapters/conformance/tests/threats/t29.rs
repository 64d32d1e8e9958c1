//! T29, a signature made for one thing and shown for another. An attacker who got someone to sign any bytes under a
//! label of theirs is taken at the strongest: the bytes are just those of the struct that is forged.

mod links;
mod peers;

use std::time::Duration;

use phoenix_client::Event;
use phoenix_core::{
    ClientId, ConfigId, KeyId, Pseudonym, QsClientId, Reject, Timestamp, UserId, Uuid,
    api::queue::{QueueConfigTbs, SealingKey},
    credential::{
        AsCredential, AsIdentity, AsIntermediateCredential, AsKeys, AuthorityStatement,
        AuthorityStatementTbs, ClientCredential, ClientCredentialPayload, ConnectionPackage, Csr,
        ExpirationData, IdentityLink, PackagePayload, RevocationDelta, RevocationDeltaTbs, RevocationList,
        RevocationListTbs,
    },
    crypto::{Chance, HpkeSecretKey, Signature, Signer, SignerError, SigningKey, Suite, VerifyingKey},
    time::Month,
    token::{KeyList, Rotation, TokenKeys},
    wire::{List, VERSION},
};

use crate::site::{Site, fqdn};

#[test]
fn t29_a_signature_of_one_struct_verifies_for_no_other_in_either_suite() {
    let mut refused = 0;
    for suites in SUITES {
        assert_eq!(documents(suites, "", "", DOMAIN), Ok(()), "{suites:?}: nothing is forged");
        for (forged, by) in DOCUMENTS {
            for label in LABELS.iter().filter(|label| **label != forged) {
                let outcome = documents(suites, forged, label, DOMAIN);
                assert_eq!(outcome, Err(by), "{suites:?}: a {label} shown for a {forged}");
                refused += 1;
            }
        }
    }
    println!("{refused} forged signatures, all refused");
}

#[test]
fn t29_what_is_signed_for_one_domain_verifies_for_no_other() {
    for suites in SUITES {
        assert_eq!(documents(suites, "", "", "beta.test"), Err("identity"), "{suites:?}");
    }
}

#[test]
fn t29_an_offer_that_was_signed_as_anything_else_is_not_shown() {
    let mut site = Site::new(&["alpha.test"], 29);
    for suite in [Suite::Ed25519, Suite::P256] {
        let settings = |domain| phoenix_client::Settings::new(fqdn(domain), "a password");
        let victim = site.register_with(settings("alpha.test"), suite);
        for label in LABELS.iter().filter(|label| **label != "ConnectionOffer").chain(&["ConnectionOffer"]) {
            let hostile = site.register_with(settings("alpha.test"), suite);
            hostile.key.lie("ConnectionOffer", label);
            let (from, to) = (hostile.client.clone(), victim.client.clone());
            let events = site.run(async move {
                from.connect(to.user()).await.unwrap();
                to.sync(Duration::ZERO).await.unwrap()
            });
            let shown = events.iter().any(|event| matches!(event, Event::Offer { .. }));
            assert_eq!(shown, *label == "ConnectionOffer", "{suite:?}: signed as a {label}");
        }
    }
}

#[test]
fn t29_an_invitation_that_was_signed_as_anything_else_is_refused() {
    let mut site = Site::new(&["alpha.test"], 290);
    let victim = site.register("victim", "alpha.test");
    let hostile = site.register("hostile", "alpha.test");
    site.connect(&hostile, &victim);
    for label in LABELS.iter().filter(|label| **label != "Attribution").chain(&["Attribution"]) {
        hostile.key.lie("Attribution", label);
        let (from, to) = (hostile.client.clone(), victim.client.clone());
        let events = site.run(async move {
            let group = from.create_group().await.unwrap();
            from.invite(&group, std::slice::from_ref(to.user())).await.unwrap();
            let mut events = Vec::new();
            for _ in 0..3 {
                events.extend(to.sync(Duration::from_secs(5)).await.unwrap());
            }
            events
        });
        let joined = events.iter().any(|event| matches!(event, Event::Joined { .. }));
        let refused = events.iter().any(|event| matches!(event, Event::InvitationRefused));
        assert_eq!(
            (joined, refused),
            (*label == "Attribution", *label != "Attribution"),
            "signed as a {label}"
        );
    }
}

/// Makes the documents of an AS and of a client of it, signs one kind of them under the label of another, and verifies
/// them in the order in which a client meets them. Says what was refused first.
fn documents(
    [root, intermediate, client]: [Suite; 3],
    forged: &str,
    label: &str,
    domain: &str,
) -> Result<(), &'static str> {
    let forger = |suite, seed| Confused {
        key: SigningKey::generate(suite, &mut Chance::from_seed([seed; 32])),
        forged: forged.to_owned(),
        label: label.to_owned(),
    };
    let keys = Authority { root: forger(root, 1), intermediate: forger(intermediate, 2) };
    let (identity, signer) = keys.identity();
    let client = forger(client, 3);
    let refused = |name| move |_: Reject| name;
    let verified = AsKeys::verify(identity, &fqdn(domain), NOW).map_err(refused("identity"))?;
    delta(&signer, &keys).verify(&verified, NOW).map_err(refused("delta"))?;
    let list = TokenKeys::generate(fqdn(DOMAIN), NOW, &Rotation::default(), &mut Chance::from_seed([4; 32]));
    let list: KeyList = list.list(signer.fingerprint()).unwrap();
    list.sign(&keys.intermediate).unwrap().verify(&verified, NOW).map_err(refused("key list"))?;
    let credential = keys.certify(&client, &signer).map_err(refused("request"))?;
    verified.verify_chain(&credential, NOW).map_err(refused("chain"))?;
    let package = ConnectionPackage::sign(payload(), credential.clone(), &client).unwrap();
    package.verify(&verified, NOW).map_err(refused("package"))?;
    let (pseudonym, leaf) = (Pseudonym([5; 16]), [6; 32]);
    let link = IdentityLink::sign(credential, &client, pseudonym, &leaf).unwrap();
    link.verify(pseudonym, &leaf, &verified, NOW).map_err(refused("link"))?;
    verify_config(&client).map_err(refused("config"))
}

fn verify_config(client: &Confused) -> Result<(), Reject> {
    let payload = QueueConfigTbs {
        client: QsClientId([7; 16]),
        config: ConfigId([8; 16]),
        audience: None,
        expires: Month::of(NOW),
        generation: 1,
        push_key: None,
    };
    let (key, mut chance) = (hpke_key(), Chance::from_seed([9; 32]));
    let to = SealingKey {
        id: KeyId::of(key.public_key()),
        key: key.public_key().clone(),
        not_before: 0,
        not_after: 9_000_000,
    };
    let sealed = payload.seal(&fqdn(DOMAIN), client, &to, &mut chance).unwrap();
    let config = sealed.sealed.open(sealed.any, &key).unwrap();
    config.verify(&client.verifying_key())
}

fn delta(signer: &AsIntermediateCredential, keys: &Authority) -> RevocationDelta {
    let payload = RevocationDeltaTbs {
        as_domain: fqdn(DOMAIN),
        since: 1,
        serial: 2,
        expires: 2_000_000,
        entries: List::default(),
        signer: signer.fingerprint(),
    };
    RevocationDelta::issue(payload, &keys.intermediate).unwrap()
}

/// An AS whose keys the attacker can have used for one thing.
struct Authority {
    root: Confused,
    intermediate: Confused,
}

impl Authority {
    fn identity(&self) -> (AsIdentity, AsIntermediateCredential) {
        let root = AsCredential::issue(fqdn(DOMAIN), validity(0, 9_000_000), &self.root).unwrap();
        let validity = validity(10, 8_000_000);
        let intermediate =
            AsIntermediateCredential::issue(&self.intermediate, validity, &root, &self.root).unwrap();
        let statement = AuthorityStatementTbs {
            as_domain: fqdn(DOMAIN),
            serial: 1,
            expires: 2_000_000,
            intermediates: List::new(vec![intermediate.fingerprint()]).unwrap(),
            revoked: List::default(),
            signer: root.fingerprint(),
        };
        let revocations = RevocationListTbs {
            as_domain: fqdn(DOMAIN),
            serial: 1,
            expires: 2_000_000,
            entries: List::default(),
            signer: intermediate.fingerprint(),
        };
        let identity = AsIdentity {
            roots: List::new(vec![root]).unwrap(),
            statement: AuthorityStatement::issue(statement, &self.root).unwrap(),
            intermediates: List::new(vec![intermediate.clone()]).unwrap(),
            revocations: RevocationList::issue(revocations, &self.intermediate).unwrap(),
        };
        (identity, intermediate)
    }

    fn certify(&self, key: &Confused, signer: &AsIntermediateCredential) -> Result<ClientCredential, Reject> {
        let user = UserId { uuid: Uuid::from_random([10; 16]), domain: fqdn(DOMAIN) };
        let payload = ClientCredentialPayload {
            client: ClientId { user, client: Uuid::from_random([11; 16]) },
            validity: validity(20, 7_000_000),
            key: key.verifying_key(),
            signer: signer.fingerprint(),
        };
        ClientCredential::issue(Csr::new(key, payload).unwrap(), signer, &self.intermediate, NOW)
    }
}

/// A key that signs one kind of struct under the label of another.
struct Confused {
    key: SigningKey,
    forged: String,
    label: String,
}

impl Signer for Confused {
    fn verifying_key(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    fn sign(&self, label: &str, content: &[u8]) -> Result<Signature, SignerError> {
        let label = if label == self.forged { &self.label } else { label };
        Ok(self.key.sign(label, content))
    }
}

fn payload() -> PackagePayload {
    PackagePayload {
        encryption_key: hpke_key().public_key().clone(),
        lifetime: validity(30, 6_000_000),
        versions: List::new(vec![VERSION]).unwrap(),
    }
}

fn hpke_key() -> HpkeSecretKey {
    HpkeSecretKey::generate(Suite::Ed25519, &mut Chance::from_seed([12; 32]))
}

const fn validity(not_before: u64, not_after: u64) -> ExpirationData {
    ExpirationData { not_before, not_after }
}

const NOW: Timestamp = Timestamp::from_secs(1_000_000);
const DOMAIN: &str = "alpha.test";
/// Suites of root, intermediate and client.
const SUITES: [[Suite; 3]; 3] = [
    [Suite::Ed25519, Suite::Ed25519, Suite::Ed25519],
    [Suite::P256, Suite::P256, Suite::P256],
    [Suite::Ed25519, Suite::P256, Suite::Ed25519],
];
/// Structs that any key can be got to sign here, and what refuses a forged one.
const DOCUMENTS: [(&str, &str); 12] = [
    ("RevocationDelta", "delta"),
    ("AsCredentialPayload", "identity"),
    ("AsIntermediateCredentialPayload", "identity"),
    ("AsIntermediateCredential", "identity"),
    ("AuthorityStatement", "identity"),
    ("RevocationList", "identity"),
    ("KeyList", "key list"),
    ("ClientCredentialPayload", "request"),
    ("ClientCredential", "chain"),
    ("ConnectionPackage", "package"),
    ("IdentityLink", "link"),
    ("QueueConfig", "config"),
];
/// The labels of all signed structs (03).
const LABELS: [&str; 17] = [
    "AsCredentialPayload",
    "AsIntermediateCredentialPayload",
    "AsIntermediateCredential",
    "ClientCredentialPayload",
    "ClientCredential",
    "AuthorityStatement",
    "RevocationList",
    "RevocationDelta",
    "KeyList",
    "ConnectionPackage",
    "ConnectionOffer",
    "IdentityLink",
    "Attribution",
    "QueueConfig",
    "KeyPackageBatch",
    "QsToQsTransaction",
    "Call",
];
