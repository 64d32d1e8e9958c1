//! Spending tokens of both types.

use super::{NOW, domain, keys, token, tokens};
use crate::{
    Reject, Timestamp,
    crypto::Chance,
    time::HOUR,
    token::{Authenticator, Class, Token, TokenKey, TokenKeys, TokenSecretKey, TokenType},
    wire::Wire,
};

#[test]
fn a_token_is_good_once_issued_for_its_class_domain_and_time() {
    let mut chance = Chance::from_seed([1; 32]);
    let keys = keys(&mut chance);
    for token_type in TokenType::ALL {
        let key = of(&keys, Class::Contact, token_type);
        let token = token(&key.secret, &mut chance);
        let last = Timestamp::from_secs(key.redeem_until);

        let spent = keys.verify(&token, Class::Contact, NOW).unwrap();

        assert_eq!(spent.expires, last.plus_secs(HOUR));
        assert_eq!(keys.verify(&token, Class::Contact, last), Ok(spent));
        assert_eq!(keys.verify(&token, Class::Contact, last.plus_secs(1)), Err(Reject::TokenInvalid));
        for class in [Class::Standard, Class::Home, Class::Alias] {
            assert_eq!(keys.verify(&token, class, NOW), Err(Reject::TokenRequired));
        }
        let abroad = TokenKeys::new("beta.test".parse().unwrap(), 1, vec![key.clone()]).unwrap();
        assert_eq!(abroad.verify(&token, Class::Contact, NOW), Err(Reject::TokenInvalid));
    }
}

#[test]
fn no_changed_byte_of_a_token_is_accepted() {
    let mut chance = Chance::from_seed([1; 32]);
    let keys = keys(&mut chance);
    for (token_type, length) in [(TokenType::P384, 146), (TokenType::Ristretto255, 162)] {
        let token = token(&of(&keys, Class::Standard, token_type).secret, &mut chance).encode();
        assert_eq!(token.len(), length);

        for at in 0..token.len() {
            let mut tampered = token.to_vec();
            tampered[at] ^= 1;
            // With another type it is none at all.
            let is_accepted = Token::decode(&tampered)
                .is_ok_and(|tampered| keys.verify(&tampered, Class::Standard, NOW).is_ok());
            assert!(!is_accepted, "byte {at}");
        }
    }
}

#[test]
fn a_token_is_exactly_as_long_as_its_type_says() {
    let mut chance = Chance::from_seed([1; 32]);
    for token_type in TokenType::ALL {
        let key = TokenSecretKey::generate(token_type, &mut chance);
        let token = token(&key, &mut chance);
        let encoded = token.encode();

        assert_eq!(encoded[..2], token_type.number().to_be_bytes());
        assert_eq!(Token::decode(&encoded), Ok(token));
        assert!(Token::decode(&encoded[..encoded.len() - 1]).is_err());
        assert!(Token::decode(&[&encoded[..], &[0]].concat()).is_err());
        for number in [0_u16, 2, 3, 4, 6, 0x0500, 0xffff] {
            assert!(Token::decode(&[&number.to_be_bytes(), &encoded[2..]].concat()).is_err(), "{number}");
        }
    }
}

#[test]
fn a_key_takes_no_token_of_the_other_type_for_its_own() {
    let mut chance = Chance::from_seed([1; 32]);
    let [batched, single] = TokenType::ALL.map(|it| TokenSecretKey::generate(it, &mut chance));
    let token = token(&batched, &mut chance);
    let renamed = Token { key_id: *single.key_id(), ..token.clone() };
    let shortened = Token { authenticator: Authenticator::P384([0; 48]), ..token };

    assert!(!single.verifies(&renamed) && !batched.verifies(&shortened));
    assert!(matches!(single.batch(&[[1; 32]], chance.child("")), Err(Reject::TokenInvalid)));
    assert!(matches!(batched.single(&[2; 49], chance), Err(Reject::TokenInvalid)));
}

#[test]
fn every_nonce_is_spent_apart_by_class() {
    let mut chance = Chance::from_seed([1; 32]);
    let secret = TokenSecretKey::generate(TokenType::Ristretto255, &mut chance);
    let batch = tokens(&secret, 2, &mut chance);
    let key = |class| TokenKey {
        class,
        secret: secret.clone(),
        not_before: 0,
        not_after: 9,
        redeem_until: 2_000_000,
    };
    let spent = |class, token| {
        TokenKeys::new(domain(), 1, vec![key(class)]).unwrap().verify(token, class, NOW).unwrap().key
    };

    assert_ne!(spent(Class::Standard, &batch[0]), spent(Class::Standard, &batch[1]));
    assert_ne!(spent(Class::Standard, &batch[0]), spent(Class::Home, &batch[0]));
}

#[test]
fn the_challenges_are_the_struct_of_the_rfc_and_differ_by_type_and_domain() {
    let [batched, single] = TokenType::ALL.map(|it| it.challenge(&domain()));

    assert_eq!(&batched[..], b"\x00\x05\x00\x0aalpha.test\x00\x00\x00");
    assert_eq!(&single[..], b"\x00\x01\x00\x0aalpha.test\x00\x00\x00");
    let beta = "beta.test".parse().unwrap();
    let digests = [
        TokenType::ALL.map(|it| it.challenge_digest(&domain())),
        TokenType::ALL.map(|it| it.challenge_digest(&beta)),
    ];
    let digests = digests.as_flattened();
    assert!((0..4).all(|at| !digests[at + 1..].contains(&digests[at])));
}

/// The key that issues.
fn of(keys: &TokenKeys, class: Class, token_type: TokenType) -> &TokenKey {
    let is_of = |key: &&TokenKey| key.class == class && key.secret.token_type() == token_type;
    keys.keys().iter().find(is_of).unwrap()
}
