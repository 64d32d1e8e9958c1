//! Each check by itself: everything else in the request is right. Tokens and proofs are written here as the RFCs have
//! them, not with the code that is examined.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use super::{
    DpopClaim, DpopError, DpopGrant, DpopIdentity, DpopKey, DpopKeys, DpopNonces, DpopProof, DpopRequest,
    DpopRules, HttpOrigin, JwkSet, ProofOf, TOKEN_S,
    jws::{self, encoded},
    verify_dpop,
};
use crate::{
    Fingerprint, Fqdn, Timestamp, UserId, Uuid,
    credential::tests::{Authority, NOW},
    crypto::{AtRestKey, Chance, Suite, sha256},
    wire::Secret,
};

#[test]
fn what_our_own_code_signs_and_proves_is_taken() {
    let scene = Scene::new();
    let grant = DpopGrant {
        user: &scene.user,
        client: scene.client,
        audiences: &[fqdn("gamma.test"), fqdn("beta.test")],
        key: &scene.key.public(),
        issued: NOW,
        expires: NOW.plus_secs(TOKEN_S),
        id: [1; 16],
    };
    let token = grant.sign(&scene.signer);
    let about =
        ProofOf { method: "GET", uri: "https://Media.beta.test:443/a?b=c", token: Some(&token), nonce: None };
    let proof = scene.key.prove(&about, NOW, &mut Chance::from_seed([9; 32]));

    let identity = scene.check(&token, &proof).unwrap();

    let (user, client) = (scene.user.clone(), scene.client);
    let (key, expires) = (*scene.key.public().thumbprint(), NOW.plus_secs(TOKEN_S));
    assert_eq!(identity, DpopIdentity { user, client, key, expires });
}

#[test]
fn a_request_is_taken_whose_token_and_proof_are_as_the_rfcs_have_them() {
    let scene = Scene::new();
    let token = scene.token();

    assert_eq!(scene.check(&token, &scene.proof(&token)).map(|it| it.user), Ok(scene.user.clone()));
    let alone = scene.token_with(|_, claims| claims["aud"] = json!("beta.test"));
    assert!(scene.check(&alone, &scene.proof(&alone)).is_ok());
    let more = scene.proof_with(&token, |header, claims| {
        header["jwk"]["kid"] = json!("mine");
        claims["further"] = json!({ "a": [1] });
    });
    assert!(scene.check(&token, &more).is_ok());
}

#[test]
fn t27_each_thing_that_is_wrong_with_a_token_is_found() {
    let scene = Scene::new();
    type Change = fn(&mut Value, &mut Value);
    let cases: [(&str, Change); 24] = [
        ("typ", |header, _| header["typ"] = json!("JWT")),
        ("typ", |header, _| header["typ"] = json!("dpop+jwt")),
        ("alg", |header, _| header["alg"] = json!("none")),
        ("alg", |header, _| header["alg"] = json!("HS256")),
        ("alg", |header, _| header["alg"] = json!("es256")),
        ("crit", |header, _| header["crit"] = json!(["exp"])),
        ("kid", |header, _| header["kid"] = json!(7)),
        ("kid", |header, _| header["kid"] = json!("another")),
        ("iss", |_, claims| claims["iss"] = json!("gamma.test")),
        ("iss", |_, claims| claims["iss"] = json!(["alpha.test"])),
        ("sub", |_, claims| claims["sub"] = json!("alpha.test")),
        ("sub", |_, claims| claims["sub"] = json!("01010101010101010101010101010101@alpha.test")),
        ("sub", |_, claims| claims["sub"] = json!("0101010101-01-0101-0101-01010101010101@alpha.test")),
        ("aud", |_, claims| claims["aud"] = json!(["gamma.test"])),
        ("aud", |_, claims| claims["aud"] = json!("gamma.test")),
        ("aud", |_, claims| claims["aud"] = json!({ "beta.test": "beta.test" })),
        ("aud", |_, claims| claims["aud"] = json!(vec!["beta.test"; 9])),
        ("exp", |_, claims| claims["exp"] = json!(NOW.as_secs())),
        ("exp", |_, claims| claims["exp"] = json!(NOW.as_secs() + TOKEN_S + 1)),
        ("exp", |_, claims| claims["exp"] = json!("later")),
        ("iat", |_, claims| claims["iat"] = json!(NOW.as_secs() + 61)),
        ("cnf", |_, claims| claims["cnf"] = json!({ "jwk": {} })),
        ("client_id", |_, claims| claims["client_id"] = json!("client")),
        ("client_id", |_, claims| claims["client_id"] = json!(encoded(&[8; 32]))),
    ];
    for (claim, change) in cases {
        let token = scene.token_with(change);

        assert_eq!(scene.check(&token, &scene.proof(&token)), Err(DpopError::Token(claim)), "{token}");
    }
}

#[test]
fn t27_each_thing_that_is_wrong_with_a_proof_is_found() {
    let scene = Scene::new();
    let token = scene.token();
    type Change = fn(&mut Value, &mut Value);
    let cases: [(&str, Change); 28] = [
        ("typ", |header, _| header["typ"] = json!("at+jwt")),
        ("typ", |header, _| header["typ"] = Value::Null),
        ("alg", |header, _| header["alg"] = json!("none")),
        ("alg", |header, _| header["alg"] = json!("HS256")),
        ("crit", |header, _| header["crit"] = json!(["b64"])),
        ("jwk", |header, _| header["jwk"] = Value::Null),
        ("jwk", |header, _| header["jwk"]["d"] = json!(encoded(&[1; 32]))),
        ("jwk", |header, _| header["jwk"]["k"] = json!("")),
        ("jwk", |header, _| header["jwk"]["kty"] = json!("OKP")),
        ("jwk", |header, _| header["jwk"]["crv"] = json!("P-384")),
        ("jwk", |header, _| header["jwk"]["x"] = json!(encoded(&[1; 32]))),
        ("jwk", |header, _| header["jwk"]["x"] = json!(encoded(&[0; 33]))),
        ("jwk", |header, _| {
            let padded = format!("{}=", header["jwk"]["x"].as_str().unwrap());
            header["jwk"]["x"] = json!(padded);
        }),
        ("signature", |header, _| {
            header["jwk"] = serde_json::to_value(other_key().public().jwk()).unwrap();
        }),
        ("htm", |_, claims| claims["htm"] = json!("POST")),
        ("htm", |_, claims| claims["htm"] = json!("get")),
        ("htu", |_, claims| claims["htu"] = json!("https://media.beta.test/b")),
        ("htu", |_, claims| claims["htu"] = json!("https://media.gamma.test/a")),
        ("htu", |_, claims| claims["htu"] = json!("http://media.beta.test/a")),
        ("htu", |_, claims| claims["htu"] = json!("https://media.beta.test:8443/a")),
        ("htu", |_, claims| claims["htu"] = json!("/a")),
        ("iat", |_, claims| claims["iat"] = json!(NOW.as_secs() - 61)),
        ("iat", |_, claims| claims["iat"] = json!(NOW.as_secs() + 61)),
        ("iat", |_, claims| claims["iat"] = Value::Null),
        ("jti", |_, claims| claims["jti"] = json!("")),
        ("jti", |_, claims| claims["jti"] = json!("j".repeat(257))),
        ("ath", |_, claims| claims["ath"] = json!(encoded(&sha256(b"another token")))),
        ("ath", |_, claims| claims["ath"] = Value::Null),
    ];
    for (claim, change) in cases {
        let proof = scene.proof_with(&token, change);

        assert_eq!(scene.check(&token, &proof), Err(DpopError::Proof(claim)), "{proof}");
    }
}

#[test]
fn t27_a_proof_with_another_key_than_the_tokens_is_refused() {
    let scene = Scene::new();
    let token = scene.token();
    let thief = Scene { key: other_key(), ..Scene::new() };

    assert_eq!(scene.check(&token, &thief.proof(&token)), Err(DpopError::Proof("jwk")));
}

#[test]
fn a_request_brings_one_token_and_one_proof() {
    let scene = Scene::new();
    let (token, proof) = scene.credentials();
    let (dpop, bearer) = (format!("DPoP {token}"), format!("Bearer {token}"));
    let twice = format!("{proof}, {proof}");
    type Case<'a> = (&'a [&'a str], &'a [&'a str], Result<(), DpopError>);
    let cases: [Case<'_>; 10] = [
        (&[&dpop], &[&proof], Ok(())),
        (&[&dpop.replace("DPoP", "dpop")], &[&proof], Ok(())),
        (&[], &[&proof], Err(DpopError::Missing)),
        (&[&bearer], &[&proof], Err(DpopError::Missing)),
        (&["DPoP"], &[&proof], Err(DpopError::Missing)),
        (&["DPoP "], &[&proof], Err(DpopError::Missing)),
        (&[&dpop, &dpop], &[&proof], Err(DpopError::Token("number"))),
        (&[&dpop], &[], Err(DpopError::Proof("number"))),
        (&[&dpop], &[&proof, &proof], Err(DpopError::Proof("number"))),
        (&[&dpop], &[&twice], Err(DpopError::Proof("form"))),
    ];
    for (authorization, proofs, expected) in cases {
        let request = DpopRequest { method: "GET", path: "/a", authorization, proofs };

        assert_eq!(scene.verify(&request, NOW).map(|_| ()), expected, "{authorization:?}");
    }
}

#[test]
fn t27_what_has_two_readings_is_refused() {
    let scene = Scene::new();
    let (token, proof) = scene.credentials();
    let twice = |text: &str, key: &DpopKey, part: usize, member: &str| {
        let parts: Vec<&str> = text.split('.').collect();
        let mut json: Vec<String> =
            parts[..2].iter().map(|it| String::from_utf8(decoded(it)).unwrap()).collect();
        json[part] = json[part].replacen('{', &format!("{{{member},"), 1);
        let signed = format!("{}.{}", encoded(json[0].as_bytes()), encoded(json[1].as_bytes()));
        format!("{signed}.{}", encoded(&key.sign(signed.as_bytes())))
    };
    for (part, member) in [(0, r#""alg":"none""#), (1, r#""sub":"x""#), (1, r#""cnf":{"jkt":"a","jkt":"b"}"#)]
    {
        let token = twice(&token, &scene.signer, part, member);
        assert_eq!(scene.check(&token, &scene.proof(&token)), Err(DpopError::Token("form")), "{member}");
    }
    for (part, member) in [(0, r#""jwk":{}"#), (1, r#""htm":"POST""#), (1, r#""x":{"y":1,"y":1}"#)] {
        let proof = twice(&proof, &scene.key, part, member);
        assert_eq!(scene.check(&token, &proof), Err(DpopError::Proof("form")), "{member}");
    }
}

#[test]
fn what_is_not_in_the_one_compact_form_is_refused() {
    let scene = Scene::new();
    let (token, proof) = scene.credentials();
    let (head, signature) = proof.rsplit_once('.').unwrap();
    let long = format!("{}.{signature}", "a".repeat(5_000));
    let cases = [
        (format!("{proof}="), "signature"),
        (format!("{head}."), "signature"),
        (head.to_owned(), "form"),
        (format!("{proof}.{signature}"), "form"),
        (format!("e30.{head}.{signature}"), "form"),
        (format!("{proof}\n"), "signature"),
        (String::new(), "form"),
        (long, "length"),
    ];
    for (proof, what) in cases {
        let found = scene.check(&token, &proof);
        assert!(matches!(found, Err(DpopError::Proof(it)) if it == what || it == "typ"), "{found:?} {proof}");
    }
}

#[test]
fn t27_a_token_that_somebody_else_signed_is_refused() {
    let scene = Scene::new();
    let forged = Scene { signer: other_key(), ..Scene::new() };
    let kid = json!(encoded(scene.signer.public().thumbprint()));
    let token = forged.token_with(|header, _| header["kid"] = kid);

    assert_eq!(scene.check(&token, &scene.proof(&token)), Err(DpopError::Token("signature")));
}

#[test]
fn t27_a_token_of_a_client_that_was_revoked_is_refused() {
    let mut scene = Scene::new();
    let (token, proof) = scene.credentials();
    assert!(scene.check(&token, &proof).is_ok());

    scene.authority.revoke(scene.client, NOW.as_secs());

    assert_eq!(scene.check(&token, &proof), Err(DpopError::Token("client_id")));
}

#[test]
fn keys_of_another_homeserver_and_those_that_have_ended_are_of_no_use() {
    let scene = Scene::new();
    let (token, proof) = scene.credentials();
    let other = Scene { authority: Authority::new("gamma.test", Suite::Ed25519), ..Scene::new() };
    assert_eq!(other.check(&token, &proof), Err(DpopError::Token("iss")));

    let late = Timestamp::from_secs(2_000_001);
    let of_late = |token: &mut Value| {
        token["iat"] = json!(late.as_secs());
        token["exp"] = json!(late.as_secs() + 60);
    };
    let token = scene.token_with(|_, claims| of_late(claims));
    let proof = scene.proof_with(&token, |_, claims| claims["iat"] = json!(late.as_secs()));
    let authorization = format!("DPoP {token}");
    let request =
        DpopRequest { method: "GET", path: "/a", authorization: &[&authorization], proofs: &[&proof] };
    assert_eq!(scene.verify(&request, late).map(|_| ()), Err(DpopError::Token("iss")));
}

#[test]
fn a_homeserver_that_is_not_allowed_is_refused_before_anyone_is_asked() {
    let scene = Scene::new();
    let (token, proof) = scene.credentials();
    let authorization = format!("DPoP {token}");
    let request =
        DpopRequest { method: "GET", path: "/a", authorization: &[&authorization], proofs: &[&proof] };
    let (origin, audience) = (origin(), fqdn("beta.test"));
    let rules = DpopRules { origin: &origin, audience: &audience, allowed: &|_| false, nonces: None };

    assert_eq!(DpopClaim::read(&request, &rules, NOW).err(), Some(DpopError::Token("iss")));
}

#[test]
fn where_nonces_are_demanded_one_of_the_last_minutes_is_taken_and_nothing_else() {
    let scene = Scene::new();
    let token = scene.token();
    let nonces = DpopNonces::new(AtRestKey::new(Secret::new([5; 32])));
    let others = DpopNonces::new(AtRestKey::new(Secret::new([6; 32])));
    let check = |nonce: Option<String>, at: Timestamp| {
        let proof = scene.proof_with(&token, |_, claims| {
            claims["iat"] = json!(at.as_secs());
            claims["nonce"] = json!(nonce);
        });
        let authorization = format!("DPoP {token}");
        let request =
            DpopRequest { method: "GET", path: "/a", authorization: &[&authorization], proofs: &[&proof] };
        let (origin, audience) = (origin(), fqdn("beta.test"));
        let rules =
            DpopRules { origin: &origin, audience: &audience, allowed: &|_| true, nonces: Some(&nonces) };
        DpopClaim::read(&request, &rules, at).map(|_| ())
    };

    for after in [0, 60, 299] {
        assert_eq!(check(Some(nonces.current(NOW)), NOW.plus_secs(after)), Ok(()));
    }
    assert_eq!(check(None, NOW), Err(DpopError::Nonce));
    assert_eq!(check(Some(String::new()), NOW), Err(DpopError::Nonce));
    assert_eq!(check(Some(others.current(NOW)), NOW), Err(DpopError::Nonce));
    assert_eq!(check(Some(nonces.current(NOW.plus_secs(300))), NOW), Err(DpopError::Nonce));
    let old = Timestamp::from_secs(NOW.as_secs() - 600);
    assert_eq!(check(Some(nonces.current(old)), NOW), Err(DpopError::Nonce));
}

#[test]
fn a_proof_is_named_by_its_key_and_its_own_name() {
    let scene = Scene::new();
    let token = scene.token();
    let named = |name: &str| {
        let proof = scene.proof_with(&token, |_, claims| claims["jti"] = json!(name));
        let authorization = format!("DPoP {token}");
        let request =
            DpopRequest { method: "GET", path: "/a", authorization: &[&authorization], proofs: &[&proof] };
        scene.verify(&request, NOW).unwrap().into_parts_to_remember().1
    };

    assert_eq!(named("a"), named("a"));
    assert_ne!(named("a"), named("b"));
}

#[test]
fn the_examples_of_rfc_9449_verify() {
    // §4.2, Figure 2, and the thumbprint of its key in §6.1, Figure 9.
    let at = Timestamp::from_secs(1_562_262_616);
    let proof = DpopProof::verify(RFC_PROOF, "POST", "https://server.example.com/token", at).unwrap();
    assert_eq!(encoded(proof.key().thumbprint()), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    assert_eq!(proof.token(), None);

    // §7.1, Figure 13.
    let at = Timestamp::from_secs(1_562_262_618);
    let target = "https://resource.example.org/protectedresource";
    let proof = DpopProof::verify(RFC_RESOURCE_PROOF, "GET", target, at).unwrap();
    assert_eq!(proof.token(), Some(&sha256(b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU")));
}

#[test]
fn published_keys_are_read_and_those_of_other_kinds_passed_over() {
    let (one, other) = (Scene::new().signer.public(), other_key().public());
    let published = JwkSet::encode([&one, &other]);
    let mut document: Value = serde_json::from_slice(&published).unwrap();
    let kid = |key: &super::DpopPublicKey| encoded(key.thumbprint());
    assert_eq!(JwkSet::decode(&published).unwrap().find(&kid(&other)), Some(&other));

    let keys = document["keys"].as_array_mut().unwrap();
    keys.push(json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "rsa" }));
    keys.push(json!("no key"));
    let changed = |member: &str, value: Value| {
        let mut key = keys[0].clone();
        key["kid"] = json!(member);
        key[member] = value;
        key
    };
    let more = [
        changed("use", json!("enc")),
        changed("alg", json!("ES384")),
        changed("d", json!(encoded(&[1; 32]))),
        changed("y", json!(encoded(&[1; 32]))),
    ];
    keys.extend(more);
    let read = JwkSet::decode(document.to_string().as_bytes()).unwrap();
    assert_eq!(read.find(&kid(&one)), Some(&one));
    for name in ["rsa", "use", "alg", "d", "y"] {
        assert_eq!(read.find(name), None, "{name}");
    }

    let first = document["keys"][0].clone();
    for bad in
        [json!({ "keys": [first, first] }), json!({ "keys": vec![Value::Null; 17] }), json!({}), json!([])]
    {
        assert!(JwkSet::decode(bad.to_string().as_bytes()).is_err(), "{bad}");
    }
    assert!(JwkSet::decode(&[b' '; super::MAX_JWKS + 1]).is_err());
}

struct Scene {
    authority: Authority,
    /// Signs tokens of alpha.test.
    signer: DpopKey,
    /// The user's.
    key: DpopKey,
    user: UserId,
    client: Fingerprint,
}

impl Scene {
    fn new() -> Self {
        let mut authority = Authority::new("alpha.test", Suite::Ed25519);
        let (revoked, client) = (Fingerprint([8; 32]), Fingerprint([7; 32]));
        authority.revoke(revoked, 1);
        let mut chance = Chance::from_seed([3; 32]);
        let user = UserId { uuid: Uuid([1; 16]), domain: fqdn("alpha.test") };
        let (signer, key) = (DpopKey::generate(&mut chance), DpopKey::generate(&mut chance));
        Self { authority, signer, key, user, client }
    }

    fn token(&self) -> String {
        self.token_with(|_, _| ())
    }

    fn token_with(&self, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let mut header = json!({
            "typ": "at+jwt", "alg": "ES256", "kid": encoded(self.signer.public().thumbprint()),
        });
        let mut claims = json!({
            "iss": "alpha.test",
            "sub": "01010101-0101-0101-0101-010101010101@alpha.test",
            "aud": ["beta.test"],
            "client_id": encoded(&self.client.0),
            "iat": NOW.as_secs(),
            "exp": NOW.as_secs() + 600,
            "jti": "t",
            "cnf": { "jkt": encoded(self.key.public().thumbprint()) },
        });
        change(&mut header, &mut claims);
        jws::sign(&header, &claims, &self.signer)
    }

    fn proof(&self, token: &str) -> String {
        self.proof_with(token, |_, _| ())
    }

    fn proof_with(&self, token: &str, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let jwk = self.key.public().jwk();
        let mut header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
        let mut claims = json!({
            "jti": "p", "htm": "GET", "htu": "https://media.beta.test/a", "iat": NOW.as_secs(),
            "ath": encoded(&sha256(token.as_bytes())),
        });
        change(&mut header, &mut claims);
        jws::sign(&header, &claims, &self.key)
    }

    fn credentials(&self) -> (String, String) {
        let token = self.token();
        let proof = self.proof(&token);
        (token, proof)
    }

    fn check(&self, token: &str, proof: &str) -> Result<DpopIdentity, DpopError> {
        let authorization = format!("DPoP {token}");
        let request =
            DpopRequest { method: "GET", path: "/a", authorization: &[&authorization], proofs: &[proof] };
        self.verify(&request, NOW).map(|unspent| unspent.into_parts_to_remember().0)
    }

    fn verify(&self, request: &DpopRequest<'_>, now: Timestamp) -> Result<super::UnspentProof, DpopError> {
        let tokens = JwkSet::decode(&JwkSet::encode([&Scene::new().signer.public()])).unwrap();
        let authority = self.authority.keys();
        let (origin, audience) = (origin(), fqdn("beta.test"));
        let rules = DpopRules { origin: &origin, audience: &audience, allowed: &|_| true, nonces: None };
        verify_dpop(request, &DpopKeys { tokens: &tokens, authority: &authority }, &rules, now)
    }
}

fn other_key() -> DpopKey {
    DpopKey::generate(&mut Chance::from_seed([4; 32]))
}

fn origin() -> HttpOrigin {
    "https://media.beta.test".parse().unwrap()
}

fn fqdn(name: &str) -> Fqdn {
    name.parse().unwrap()
}

fn decoded(part: &str) -> Vec<u8> {
    base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, part).unwrap()
}

const RFC_PROOF: &str = concat!(
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik",
    "VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR",
    "nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE",
    "QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIj",
    "oiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwia",
    "WF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg",
    "4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg",
);
const RFC_RESOURCE_PROOF: &str = concat!(
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik",
    "VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR",
    "nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE",
    "QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIj",
    "oiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0Z",
    "WRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNF",
    "c05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71E",
    "OptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA",
);
