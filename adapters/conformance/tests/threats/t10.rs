//! T10, a homeserver that speaks for another: in transactions, in what it publishes, and in what its users show.

use phoenix_core::{
    ErrorCode, Fqdn, KeyId,
    api::{
        Endpoint, ServiceName,
        federation::{FederatedEnqueue, QsToQsTransaction, TransactionTbs},
        queue::{QsPublicKeys, ServiceKey},
    },
    crypto::{Chance, SigningKey, Suite},
    port::Clock,
    published::QsDocument,
    time::DAY,
    token::Class,
    wire::{List, VERSION, Wire},
};

use crate::site::{Site, fqdn, origin, unsigned};

#[test]
fn t10_a_transaction_is_taken_in_the_name_of_its_signer_alone_and_by_whom_it_is_for() {
    let mut site = Site::new(&["alpha.test", "beta.test", "evil.test"], 100);
    let key = hostile_key(&mut site, "evil.test");

    let own = given(&mut site, &key, "evil.test", "alpha.test");
    let of_another = given(&mut site, &key, "beta.test", "alpha.test");
    let of_ours = given(&mut site, &key, "alpha.test", "alpha.test");
    let for_another = given(&mut site, &key, "evil.test", "beta.test");

    assert_eq!(own, Ok(()));
    assert_eq!(of_another, Err(ErrorCode::Unauthenticated));
    assert_eq!([of_ours, for_another], [Err(ErrorCode::Forbidden); 2]);
}

#[test]
fn t10_keys_that_are_published_for_another_domain_are_nobodys() {
    let mut site = Site::new(&["alpha.test", "beta.test", "evil.test"], 101);
    let key = hostile_key(&mut site, "evil.test");
    // At beta's address, what is evil's: as an attacker on the way would, if there were no TLS.
    let document = {
        let home = site.home("evil.test");
        site.run(async move { home.document(ServiceName::Qs).await.unwrap() })
    };
    site.publish("beta.test", ServiceName::Qs, document);

    let outcome = given(&mut site, &key, "beta.test", "alpha.test");

    assert_eq!(outcome, Err(ErrorCode::Unavailable));
}

#[test]
fn t10_users_of_one_domain_are_not_vouched_for_by_the_authority_of_another() {
    let mut site = Site::new(&["alpha.test", "beta.test", "evil.test"], 102);
    let [bob, mallory] =
        [("bob", "beta.test"), ("mallory", "evil.test")].map(|(name, domain)| site.register(name, domain));
    for (shown, of) in [("beta.test", "evil.test"), ("evil.test", "beta.test")] {
        let home = site.home(of);
        let document = site.run(async move { home.document(ServiceName::As).await.unwrap() });
        site.publish(shown, ServiceName::As, document);
    }

    for person in [bob, mallory] {
        let (refused, left) = site.run(async move {
            let alpha = fqdn("alpha.test");
            let refused = person.client.fetch_tokens(&alpha, Class::Standard).await.map_err(|it| it.code());
            (refused, person.client.tokens_left(&alpha, Class::Standard).await)
        });
        // Who asks again and again for a domain that is none is held back, too.
        let is_refusal = |code| matches!(code, ErrorCode::Unavailable | ErrorCode::RateLimited);
        assert!(refused.is_err_and(|code| code.is_some_and(is_refusal)), "{refused:?}");
        assert_eq!(left, 0);
    }
}

/// A key that a homeserver publishes beside its own, and that its owner signs anything with.
fn hostile_key(site: &mut Site, domain: &'static str) -> SigningKey {
    let key = SigningKey::generate(Suite::Ed25519, &mut Chance::from_seed([10; 32]));
    let (home, now) = (site.home(domain), site.clock.now().as_secs());
    let document = site.run(async move { home.document(ServiceName::Qs).await.unwrap() });
    let published = QsDocument::decode(&document, &fqdn(domain)).unwrap();
    let hostile = ServiceKey::new(key.verifying_key(), now, now + 90 * DAY);
    let verifying = published.verifying.iter().cloned().chain([hostile]).collect();
    let published = QsPublicKeys { verifying: List::new(verifying).unwrap(), ..published };
    site.publish(domain, ServiceName::Qs, QsDocument::encode(&fqdn(domain), &published).unwrap());
    key
}

/// Gives alpha an empty transaction.
fn given(site: &mut Site, key: &SigningKey, source: &str, destination: &str) -> Result<(), ErrorCode> {
    let [source, destination]: [Fqdn; 2] = [source, destination].map(fqdn);
    let payload = TransactionTbs {
        version: VERSION,
        source,
        destination,
        transaction: [1; 16],
        sent_at: site.clock.now().as_secs(),
        deliveries: List::default(),
        key: KeyId::of(&key.verifying_key()),
    };
    let signature = key.sign("QsToQsTransaction", &payload.encode());
    let call = unsigned::<FederatedEnqueue>(&QsToQsTransaction { payload, signature }, None);
    let (home, description) = (site.home("alpha.test"), FederatedEnqueue::DESCRIPTION);
    let answer =
        site.run(async move { home.call(description.service, description.name, call, origin()).await });
    answer.map(drop).map_err(|error| error.code)
}
