//! What homeservers sign for each other, shown by a hostile one to the homeserver that verifies it.

use bytes::Bytes;
use phoenix_core::{
    ErrorCode, ErrorReply, KeyId,
    api::{
        Endpoint, ServiceName,
        federation::{FederatedEnqueue, QsToQsTransaction, TransactionTbs},
        queue::{AddPackages, GetAddPackages, KeyPackageBatch, QsPublicKeys, ServiceKey},
    },
    crypto::{Chance, SigningKey, Suite},
    port::Clock,
    published::QsDocument,
    time::DAY,
    wire::{List, VERSION, Wire},
};

use super::LABELS;
use crate::site::{Site, fqdn, origin, unsigned};

#[test]
fn t29_a_transaction_that_was_signed_as_anything_else_is_refused() {
    let mut site = Site::new(&["alpha.test", "evil.test"], 291);
    let keys = hostile_keys(&mut site, "evil.test");
    for key in keys {
        for label in LABELS {
            let answer = knock(&mut site, &key, label);
            let expected =
                if label == "QsToQsTransaction" { Ok(()) } else { Err(ErrorCode::Unauthenticated) };
            let answer = answer.map(drop).map_err(|error| error.code);
            assert_eq!(answer, expected, "{:?}: signed as a {label}", key.suite());
        }
    }
}

#[test]
fn t29_a_batch_that_was_signed_as_anything_else_adds_nobody() {
    let mut site = Site::new(&["alpha.test", "evil.test"], 292);
    let keys = hostile_keys(&mut site, "evil.test");
    let honest = site.register("honest", "alpha.test");
    let hostile = site.register("hostile", "evil.test");
    site.connect(&honest, &hostile);
    for key in keys {
        let suite = key.suite();
        let inviting = honest.client.clone();
        let group = site.run(async move { inviting.create_group().await.unwrap() });
        // What is right comes last: whom it adds cannot be added again.
        for label in LABELS.iter().filter(|label| **label != "KeyPackageBatch").chain(&["KeyPackageBatch"]) {
            let key = key.clone();
            honest.tap.change(move |outgoing, answer| {
                let is_batch = outgoing.name == GetAddPackages::DESCRIPTION.name;
                if is_batch { forged(&answer, &key, label) } else { answer }
            });
            let (from, to, into) = (honest.client.clone(), hostile.client.user().clone(), group.clone());
            let outcome = site.run(async move { from.invite(&into, &[to]).await });
            let expected = if *label == "KeyPackageBatch" { Ok(()) } else { Err(Some(ErrorCode::Forbidden)) };
            let outcome = outcome.map_err(|error| error.code());
            assert_eq!(outcome, expected, "{suite:?}: signed as a {label}");
        }
    }
}

/// Keys of both suites that a homeserver publishes beside its own, and that its owner signs anything with.
fn hostile_keys(site: &mut Site, domain: &'static str) -> [SigningKey; 2] {
    let suites = [(Suite::Ed25519, 1), (Suite::P256, 2)];
    let keys = suites.map(|(suite, seed)| SigningKey::generate(suite, &mut Chance::from_seed([seed; 32])));
    let (home, now) = (site.home(domain), site.clock.now().as_secs());
    let document = site.run(async move { home.document(ServiceName::Qs).await.unwrap() });
    let published = QsDocument::decode(&document, &fqdn(domain)).unwrap();
    let hostile = keys.iter().map(|key| ServiceKey::new(key.verifying_key(), now, now + 90 * DAY));
    let verifying = published.verifying.iter().cloned().chain(hostile).collect();
    let published = QsPublicKeys { verifying: List::new(verifying).unwrap(), ..published };
    site.publish(domain, ServiceName::Qs, QsDocument::encode(&fqdn(domain), &published).unwrap());
    keys
}

/// An empty transaction, which says that its source is there.
fn knock(site: &mut Site, key: &SigningKey, label: &str) -> Result<Bytes, ErrorReply> {
    let payload = TransactionTbs {
        version: VERSION,
        source: fqdn("evil.test"),
        destination: fqdn("alpha.test"),
        transaction: [1; 16],
        sent_at: site.clock.now().as_secs(),
        deliveries: List::default(),
        key: KeyId::of(&key.verifying_key()),
    };
    let signature = key.sign(label, &payload.encode());
    let call = unsigned::<FederatedEnqueue>(&QsToQsTransaction { payload, signature }, None);
    let (home, description) = (site.home("alpha.test"), FederatedEnqueue::DESCRIPTION);
    site.run(async move { home.call(description.service, description.name, call, origin()).await })
}

/// The same packages, with another word for them.
fn forged(answer: &[u8], key: &SigningKey, label: &str) -> Bytes {
    let AddPackages { packages, batch: KeyPackageBatch { mut payload, .. } } =
        AddPackages::decode(answer).unwrap();
    payload.key = KeyId::of(&key.verifying_key());
    let signature = key.sign(label, &payload.encode());
    AddPackages { packages, batch: KeyPackageBatch { payload, signature } }.encode()
}
