//! DPoP tokens, and who visits (05).

use futures::{executor::block_on, future::join};
use phoenix_core::{
    Fqdn, Reject, UserId,
    api::{
        auth::{DeleteUserRequest, MAX_CLIENTS},
        tokens::{DpopTokenReply, DpopTokenRequest},
    },
    dpop::{
        DpopIdentity, DpopKey, DpopKeys, DpopRequest, DpopRules, JwkSet, ProofOf, TOKEN_S, token_target,
        verify_dpop,
    },
    engine::Engine,
    federation::{Outbox, Standing, Terms},
    operation::Fare,
    time::{DAY, MINUTE},
    token::Class,
    wire::{Flag, List, Opaque},
};

use super::world::{By, TestClient, World, client_id, domain, refusal};
use crate::{
    AuthService, AuthSettings, RemoteAllowance, kinds,
    op::{self, VisitRequest},
};

#[test]
fn a_token_says_who_the_client_is_to_those_that_it_names() {
    let world = World::new();
    let client = world.register(1);
    let key = DpopKey::generate(&mut world.chance());

    let reply = world.dpop_token(&client, &key, &["beta.test", "gamma.test"]).unwrap();

    assert_eq!(reply.expires, world.now().plus_secs(TOKEN_S).as_secs());
    for audience in ["beta.test", "gamma.test"] {
        let identity = world.shown(&key, &reply, audience).unwrap();
        assert_eq!(
            (identity.user, identity.client),
            (client.id.user.clone(), client.credential.fingerprint())
        );
    }
    assert!(world.shown(&key, &reply, "delta.test").is_none());
    let other = world.dpop_token(&client, &key, &["beta.test"]).unwrap();
    assert_ne!(other.token, reply.token);
}

#[test]
fn a_token_ends_with_the_clients_credential() {
    let world = World::new();
    let client = world.register(1);
    let ends = client.credential.payload.validity.not_after;
    world.pass(ends - world.now().as_secs() - MINUTE);

    let reply = world.dpop_token(&client, &DpopKey::generate(&mut world.chance()), &["beta.test"]).unwrap();

    assert_eq!(reply.expires, ends + 1);
}

#[test]
fn what_is_no_proof_for_a_token_of_this_homeserver_is_refused() {
    let world = World::new();
    let client = world.register(1);
    let key = DpopKey::generate(&mut world.chance());
    let proof = |method: &str, uri: &str, ago: u64| {
        let at = phoenix_core::Timestamp::from_secs(world.now().as_secs() - ago);
        key.prove(&ProofOf { method, uri, token: None, nonce: None }, at, &mut world.chance())
    };
    let uri = token_target(&domain("alpha.test"));

    for (proof, part) in [
        (String::new(), "form"),
        (proof("GET", &uri, 0), "htm"),
        (proof("POST", "https://beta.test/v1/as/dpop_token", 0), "htu"),
        (proof("POST", "https://alpha.test/v1/as/issue_tokens", 0), "htu"),
        (proof("POST", &uri, 61), "iat"),
    ] {
        let refused = world.ask::<op::DpopToken>(request(proof, &["beta.test"]), By::Client(&client));
        assert_eq!(refused, Err(Reject::Malformed(part)));
    }
    let no_text =
        DpopTokenRequest { proof: Opaque::new(vec![0xff]).unwrap(), ..request(String::new(), &["a.b"]) };
    assert_eq!(world.ask::<op::DpopToken>(no_text, By::Client(&client)), Err(Reject::Malformed("proof")));
    for audiences in [&[][..], &["beta.test", "beta.test"]] {
        let refused = world.dpop_token(&client, &key, audiences);
        assert_eq!(refused, Err(Reject::Malformed("audiences")));
    }
}

#[test]
fn strangers_and_those_who_are_gone_get_no_token_and_a_call_gets_one() {
    let world = World::new();
    let (client, stranger) = (world.register(1), world.stranger(1));
    let key = DpopKey::generate(&mut world.chance());

    assert_eq!(world.dpop_token(&stranger, &key, &["alpha.test"]), Err(Reject::Forbidden));
    assert_eq!(world.fetches(), 0);
    let request = world.dpop_request(&key, &["beta.test"]);
    let call = world.call::<op::DpopToken>(&request, By::Client(&client), None);
    assert!(world.send::<op::DpopToken>(call.clone()).is_ok());
    assert_eq!(world.send::<op::DpopToken>(call), Err(Reject::Unauthenticated), "the frame is spent");
    let delete = DeleteUserRequest { factor: world.factor(&client), domains: List::default() };
    world.ask::<op::DeleteUser>(delete, By::Client(&client)).unwrap();
    assert_eq!(world.dpop_token(&client, &key, &["beta.test"]), Err(Reject::Unauthenticated));
}

#[test]
fn for_whom_a_users_tokens_are_is_known_as_long_as_one_is_good() {
    let world = World::new();
    let client = world.register(1);
    let key = DpopKey::generate(&mut world.chance());
    world.dpop_token(&client, &key, &["beta-of-some-name.test"]).unwrap();
    world.pass(TOKEN_S - 1);
    assert!(world.holds(b"beta-of-some-name.test"));
    world.dpop_token(&client, &key, &["gamma-of-some-name.test"]).unwrap();

    world.pass(TOKEN_S - 1);
    assert!(world.holds(b"gamma-of-some-name.test"));
    world.dpop_token(&client, &key, &["delta-of-some-name.test"]).unwrap();
    assert!(!world.holds(b"beta-of-some-name.test"), "it leaves with the next that comes");
    world.pass(2 * TOKEN_S);

    assert!(!world.holds(b"-of-some-name.test"));
}

#[test]
fn live_tokens_are_for_so_many_domains_and_for_others_after_a_while() {
    let world = World::new();
    let client = world.register(1);
    let key = DpopKey::generate(&mut world.chance());
    let names: Vec<String> = (0..72).map(|number| format!("d{number}.test")).collect();
    let batches: Vec<Vec<&str>> = names.chunks(8).map(|it| it.iter().map(String::as_str).collect()).collect();

    let outcomes: Vec<_> = batches.iter().map(|it| world.dpop_token(&client, &key, it).map(|_| ())).collect();

    assert!(outcomes[..8].iter().all(Result::is_ok));
    assert_eq!(outcomes[8], Err(Reject::RateLimited(600)));
    assert!(world.dpop_token(&client, &key, &batches[3]).is_ok(), "the same again");
    world.pass_unswept(2 * TOKEN_S);
    assert!(world.dpop_token(&client, &key, &batches[8]).is_ok());
}

#[test]
fn a_deleted_user_leaves_no_audience_and_no_account_at_home() {
    let world = World::new();
    let client = world.register(1);
    for number in 2..=MAX_CLIENTS {
        world.add(&client.id.user, u8::try_from(number).unwrap());
    }
    let key = DpopKey::generate(&mut world.chance());
    world.dpop_token(&client, &key, &["alpha.test", "beta-of-some-name.test"]).unwrap();
    assert_eq!(world.visit(&client.id.user, 1), Ok(Flag::No));
    world.commits();

    let delete = DeleteUserRequest { factor: world.factor(&client), domains: List::default() };
    world.ask::<op::DeleteUser>(delete, By::Client(&client)).unwrap();

    assert!(!world.holds(b"beta-of-some-name.test"));
    assert_eq!(world.looked(&client.id.user), Ok(Flag::No));
    assert_eq!(world.visit(&client.id.user, 2), Err(Reject::NotFound), "who has a token left is nobody");
    assert!(world.commits().into_iter().all(|parts| parts <= phoenix_core::port::MAX_PARTS));
}

#[test]
fn an_account_lasts_ninety_days_from_the_month_of_its_last_visit() {
    let world = World::new();
    let user = UserId { domain: domain("beta.test"), ..world.register(1).id.user };
    assert_eq!(world.looked(&user), Ok(Flag::No));

    assert_eq!(world.visit(&user, 1), Ok(Flag::No));
    assert_eq!(world.visit(&user, 2), Ok(Flag::Yes));
    world.pass(60 * DAY);
    assert_eq!(world.visit(&user, 3), Ok(Flag::Yes));
    world.pass(90 * DAY);
    assert_eq!(world.looked(&user), Ok(Flag::Yes));
    assert_eq!(world.looked(&UserId { domain: domain("gamma.test"), ..user.clone() }), Ok(Flag::No));

    world.pass(33 * DAY);
    assert_eq!(world.looked(&user), Ok(Flag::No));
    assert!(!world.holds(&kinds_of(&world, &user)));
    assert_eq!(world.visit(&user, 4), Ok(Flag::No));
}

#[test]
fn t27_of_two_replicas_one_takes_a_proof_and_neither_takes_it_again() {
    let world = World::new();
    let user = world.register(1).id.user;
    let other = world.replica();
    let visit = || VisitRequest { user: user.clone(), comes: Flag::Yes };

    let (one, two) = block_on(join(
        world.engine.internal::<op::Visit>(visit(), world.proof(1)),
        other.internal::<op::Visit>(visit(), world.proof(1)),
    ));

    let outcomes = [one, two].map(|outcome| outcome.map_err(refusal));
    let refused: Vec<_> = outcomes.iter().filter_map(|it| it.as_ref().err()).collect();
    assert_eq!(refused, [&Reject::Unauthenticated]);
    assert_eq!(world.visit(&user, 1), Err(Reject::Unauthenticated));
}

#[test]
fn t27_a_domain_makes_few_accounts_at_first_and_more_as_it_uses_them() {
    let world = World::new();
    let user = |number: u8, name| client_id(number, name).user;
    let all_of = |name: &'static str, numbers: std::ops::Range<u8>| {
        numbers.take_while(|number| world.visit(&user(*number, name), *number).is_ok()).count()
    };

    // Fifty on the first day; who has an account comes as before, and so does everybody else's.
    assert_eq!(all_of("beta.test", 0..90), 50);
    let refused = world.visit(&user(60, "beta.test"), 200);
    assert!(matches!(refused, Err(Reject::RateLimited(seconds)) if seconds <= 86_400), "{refused:?}");
    assert_eq!(world.visit(&user(7, "beta.test"), 201), Ok(Flag::Yes));
    assert_eq!(world.visit(&user(1, "gamma.test"), 202), Ok(Flag::No));
    for number in 100..160 {
        assert!(world.visit(&user(number, "alpha.test"), number).is_ok(), "its own users registered");
    }
    // They take nothing of the tokens' allowance, and half of a day's use lets it grow.
    let blinded = world.blinding(Class::Contact, 5).request(Class::Contact).unwrap();
    world.ask::<op::IssueTokens>(blinded, By::Client(&world.stranger(1))).unwrap();
    world.pass(DAY);
    assert_eq!(all_of("beta.test", 100..200), 65);
}

#[test]
fn t27_all_new_domains_together_make_few_accounts_and_the_operator_sets_one_apart() {
    let remote = RemoteAllowance { newcomers_percent: 1, ..RemoteAllowance::default() };
    let world = World::with(AuthSettings { ceiling: 20_000, remote, ..AuthSettings::default() });
    let names = ["a.test", "b.test", "c.test", "d.test", "e.test", "f.test"];
    let come = |name: &str, numbers: std::ops::Range<u8>| {
        let visits = numbers.map(|number| world.visit(&client_id(number, name).user, number));
        visits.filter(Result::is_ok).count()
    };

    // One in a hundred of 20,000 Standard tokens, which is ten Contact tokens.
    let made: usize = (0..6).zip(names).map(|(at, name)| come(name, at * 3..at * 3 + 3)).sum();
    assert_eq!(made, 10);

    let terms = Terms { tokens: Some(1_000), ..Terms::default() };
    world.rule("f.test", Standing::Allowed(terms));
    assert_eq!(come("f.test", 100..103), 3);
}

#[test]
fn t27_who_is_blocked_does_not_visit_whoever_checked_the_token() {
    let world = World::new();
    let user = client_id(1, "beta.test").user;
    world.visit(&user, 1).unwrap();

    world.rule("beta.test", Standing::Blocked(Outbox::Hold));
    assert_eq!(world.visit(&user, 2), Err(Reject::Forbidden));
    world.rule("beta.test", Standing::Paused);
    assert!(matches!(world.visit(&user, 3), Err(Reject::Unavailable(_))));

    world.rule("beta.test", Standing::Allowed(Terms::default()));
    assert_eq!(world.visit(&user, 4), Ok(Flag::Yes));
}

impl World {
    fn dpop_request(&self, key: &DpopKey, audiences: &[&str]) -> DpopTokenRequest {
        let uri = token_target(&domain("alpha.test"));
        let about = ProofOf { method: "POST", uri: &uri, token: None, nonce: None };
        request(key.prove(&about, self.now(), &mut self.chance()), audiences)
    }

    fn dpop_token(
        &self,
        client: &TestClient,
        key: &DpopKey,
        audiences: &[&str],
    ) -> Result<DpopTokenReply, Reject> {
        self.ask::<op::DpopToken>(self.dpop_request(key, audiences), By::Client(client))
    }

    /// Who comes with a token, to an API of this homeserver's.
    fn shown(&self, key: &DpopKey, reply: &DpopTokenReply, audience: &str) -> Option<DpopIdentity> {
        let token = std::str::from_utf8(&reply.token).unwrap();
        let (uri, origin) = ("https://media.test/a", "https://media.test".parse().unwrap());
        let about = ProofOf { method: "GET", uri, token: Some(token), nonce: None };
        let proof = key.prove(&about, self.now(), &mut self.chance());
        let authorization = format!("DPoP {token}");
        let request =
            DpopRequest { method: "GET", path: "/a", authorization: &[&authorization], proofs: &[&proof] };
        let audience = domain(audience);
        let rules = DpopRules { origin: &origin, audience: &audience, allowed: &|_| true, nonces: None };
        let ring = self.engine.ring();
        let tokens = JwkSet::decode(&ring.service.jwks()).unwrap();
        let keys = DpopKeys { tokens: &tokens, authority: ring.service.verified() };
        verify_dpop(&request, &keys, &rules, self.now())
            .ok()
            .map(|unspent| unspent.into_parts_to_remember().0)
    }

    fn proof(&self, number: u8) -> Fare {
        Fare::Frame(vec![0, number].into(), self.now().plus_secs(121))
    }

    pub(super) fn visit(&self, user: &UserId, proof: u8) -> Result<Flag, Reject> {
        self.visit_at(&self.engine, user, proof)
    }

    /// The same at another replica.
    pub(super) fn visit_at(
        &self,
        replica: &Engine<AuthService>,
        user: &UserId,
        proof: u8,
    ) -> Result<Flag, Reject> {
        let request = VisitRequest { user: user.clone(), comes: Flag::Yes };
        block_on(replica.internal::<op::Visit>(request, self.proof(proof))).map_err(refusal)
    }

    pub(super) fn looked(&self, user: &UserId) -> Result<Flag, Reject> {
        let request = VisitRequest { user: user.clone(), comes: Flag::No };
        block_on(self.engine.internal::<op::Visit>(request, Fare::Free)).map_err(refusal)
    }
}

fn request(proof: String, audiences: &[&str]) -> DpopTokenRequest {
    let audiences: Vec<Fqdn> = audiences.iter().map(|name| domain(name)).collect();
    DpopTokenRequest { proof: Opaque::new(proof).unwrap(), audiences: List::new(audiences).unwrap() }
}

/// The key of a user's account.
fn kinds_of(world: &World, user: &UserId) -> Vec<u8> {
    let ring = world.engine.ring();
    let settings = AuthSettings::default();
    let cx = phoenix_core::operation::Context::for_tests(
        world.now(),
        domain("alpha.test"),
        ring,
        settings,
        [0; 32],
    );
    kinds::account(user, &cx).key().to_vec()
}
