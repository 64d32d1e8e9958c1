//! What the documents must hold.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may fail loudly

use super::{AsDocument, DsDocument, PublishedKeys, QsDocument, longest_valid, max_document};
use crate::{
    Fqdn, KeyId, Reject, Timestamp,
    api::{
        ServiceName,
        delivery::DsPublicKeys,
        queue::{QsPublicKeys, SealingKey, ServiceKey},
    },
    credential::tests::{Authority, NOW},
    crypto::{Chance, HpkeSecretKey, SigningKey, Suite},
    operation::Need,
    token::{Rotation, SignedKeyList, TokenKeys},
    wire::List,
};

fn domain() -> Fqdn {
    "alpha.test".parse().unwrap()
}

fn token_list(authority: &mut Authority) -> SignedKeyList {
    let keys =
        TokenKeys::generate(authority.domain.clone(), NOW, &Rotation::default(), &mut authority.chance);
    keys.list(authority.intermediate.fingerprint()).unwrap().sign(&authority.key).unwrap()
}

fn queue_keys() -> QsPublicKeys {
    let mut chance = Chance::from_seed([1; 32]);
    let mut sealing = |suite, until| {
        SealingKey::new(HpkeSecretKey::generate(suite, &mut chance).public_key().clone(), 5, until)
    };
    let queue_config =
        List::new(vec![sealing(Suite::Ed25519, 2_000_000), sealing(Suite::P256, 3_000_000)]).unwrap();
    let delivery = List::new(vec![sealing(Suite::P256, 900_000)]).unwrap();
    QsPublicKeys { verifying: delivery_keys().verifying, queue_config, delivery }
}

fn delivery_keys() -> DsPublicKeys {
    let mut chance = Chance::from_seed([2; 32]);
    let mut key =
        |suite| ServiceKey::new(SigningKey::generate(suite, &mut chance).verifying_key(), 5, 2_000_000);
    DsPublicKeys { verifying: List::new(vec![key(Suite::Ed25519), key(Suite::P256)]).unwrap() }
}

#[test]
fn what_a_service_publishes_is_what_others_read() {
    for suite in [Suite::Ed25519, Suite::P256] {
        let mut authority = Authority::new("alpha.test", suite);
        let (credential, _) = authority.client(1, suite);
        authority.revoke(credential.fingerprint(), 7);
        let tokens = token_list(&mut authority);
        let all = [
            (ServiceName::As, PublishedKeys::As(Box::new(authority.keys()), Box::new(tokens))),
            (ServiceName::Qs, PublishedKeys::Qs(Box::new(queue_keys()))),
            (ServiceName::Ds, PublishedKeys::Ds(Box::new(delivery_keys()))),
        ];
        for (service, keys) in all {
            let document = keys.encode(&domain()).unwrap();
            assert_eq!(PublishedKeys::decode(service, &document, &domain(), NOW), Ok(keys));
        }
    }
}

#[test]
fn a_document_of_another_domain_service_or_form_is_refused() {
    let mut authority = Authority::new("alpha.test", Suite::Ed25519);
    let tokens = token_list(&mut authority);
    let other = "beta.test".parse().unwrap();
    let documents = [
        (ServiceName::As, AsDocument::encode(&authority.identity(1), &tokens).unwrap()),
        (ServiceName::Qs, QsDocument::encode(&domain(), &queue_keys()).unwrap()),
        (ServiceName::Ds, DsDocument::encode(&domain(), &delivery_keys()).unwrap()),
    ];
    for (service, document) in &documents {
        assert!(PublishedKeys::decode(*service, document, &other, NOW).is_err());
        for (wrong, _) in documents.iter().filter(|(it, _)| it != service) {
            assert!(PublishedKeys::decode(*wrong, document, &domain(), NOW).is_err());
        }
        let text = std::str::from_utf8(document).unwrap();
        for form in
            [format!("{text} x"), text.replacen('{', "{\"more\":1,", 1), text.replace('=', "+"), "[]".into()]
        {
            let is_same = form == text;
            assert_eq!(PublishedKeys::decode(*service, form.as_bytes(), &domain(), NOW).is_ok(), is_same);
        }
        let long = " ".repeat(max_document(*service) + 1);
        let refused = PublishedKeys::decode(*service, long.as_bytes(), &domain(), NOW);
        assert_eq!(refused, Err(Reject::TooLarge("document")));
    }
}

#[test]
fn no_changed_character_of_an_as_document_is_accepted() {
    let mut authority = Authority::new("alpha.test", Suite::Ed25519);
    let tokens = token_list(&mut authority);
    let document = AsDocument::encode(&authority.identity(1), &tokens).unwrap();
    let good = AsDocument::decode(&document, &domain(), NOW).unwrap();
    let end = document.len() - "\"jwks\":\"/.well-known/jwks.json\"}".len();

    for at in (0..end).step_by(5) {
        let mut tampered = document.to_vec();
        tampered[at] ^= 1;
        let read = AsDocument::decode(&tampered, &domain(), NOW);
        assert!(read.is_err() || read == Ok(good.clone()), "character {at}");
    }
}

#[test]
fn a_key_under_another_name_than_its_own_is_refused() {
    let document = DsDocument::encode(&domain(), &delivery_keys()).unwrap();
    let mut value: serde_json::Value = serde_json::from_slice(&document).unwrap();
    value["verifying"][0]["id"] = value["verifying"][1]["id"].clone();

    assert!(DsDocument::decode(value.to_string().as_bytes(), &domain()).is_err());
}

#[test]
fn keys_are_found_by_name_while_they_are_valid() {
    let (keys, authority) = (delivery_keys(), Authority::new("alpha.test", Suite::Ed25519));
    let id = keys.verifying[1].id;
    let published = PublishedKeys::Ds(Box::new(keys.clone()));

    assert_eq!(published.verifying_key(&id, NOW), Some(&keys.verifying[1].key));
    assert_eq!(published.verifying_key(&id, Timestamp::from_secs(2_000_001)), None);
    assert_eq!(published.verifying_key(&KeyId([0; 16]), NOW), None);
    assert!(published.has(&id) && !published.has(&KeyId([0; 16])));
    let mut authority = authority;
    let tokens = token_list(&mut authority);
    let published = PublishedKeys::As(Box::new(authority.keys()), Box::new(tokens));
    let id = KeyId::of(&authority.key.verifying_key());
    assert!(published.has(&id));
    assert_eq!(published.verifying_key(&id, NOW), Some(&authority.key.verifying_key()));
}

#[test]
fn one_seals_to_the_key_that_is_valid_longest() {
    let keys = queue_keys();

    assert_eq!(longest_valid(&keys.queue_config, NOW), Some(&keys.queue_config[1]));
    assert_eq!(longest_valid(&keys.delivery, NOW), None);
    assert_eq!(longest_valid(&keys.queue_config, Timestamp::from_secs(4)), None);
}

#[test]
fn newer_keys_of_the_same_service_may_follow() {
    let mut authority = Authority::new("alpha.test", Suite::Ed25519);
    let tokens = token_list(&mut authority);
    let auth = |serial| {
        let keys =
            crate::credential::AsKeys::verify(authority.identity(serial), &authority.domain, NOW).unwrap();
        PublishedKeys::As(Box::new(keys), Box::new(tokens.clone()))
    };
    let (queue, delivery) =
        (PublishedKeys::Qs(Box::new(queue_keys())), PublishedKeys::Ds(Box::new(delivery_keys())));

    assert!(auth(1).accepts_successor(&auth(2)) && !auth(2).accepts_successor(&auth(1)));
    assert!(queue.accepts_successor(&queue) && delivery.accepts_successor(&delivery));
    assert!(!queue.accepts_successor(&delivery) && !delivery.accepts_successor(&auth(1)));
}

#[test]
fn an_intermediate_goes_by_its_keys_name_and_by_its_own() {
    let mut authority = Authority::new("alpha.test", Suite::Ed25519);
    let tokens = token_list(&mut authority);
    let keys = PublishedKeys::As(Box::new(authority.keys()), Box::new(tokens));
    let named = |fingerprint| Need::signer(domain(), &fingerprint).key.unwrap();

    assert!(keys.has(&named(authority.intermediate.fingerprint())));
    assert!(keys.has(&KeyId::of(&authority.intermediate.payload.key)));
    assert!(!keys.has(&named(authority.root.fingerprint())));
}
