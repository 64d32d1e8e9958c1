#![allow(clippy::unwrap_used, reason = "tests")]

use super::{
    DomainPattern, Federation, FederationPolicy, MAX_RULES, Mode, Outbox, PolicyError, Standing, Terms,
};
use crate::{
    Fqdn, Reject,
    limit::{Limit, Limits, Rate},
};

const BLOCKED: Standing = Standing::Blocked(Outbox::Drop);

#[test]
fn a_pattern_is_a_domain_or_all_below_one() {
    for text in ["example.com", "*.example.com", "*.a.b.c.test", "xn--bcher-kva.example"] {
        assert_eq!(text.parse::<DomainPattern>().unwrap().to_string(), text);
    }
    let wrong =
        ["", "*", "*.", "*.com", "com", "*example.com", "a.*.com", "**.example.com", "*.*.example.com"];
    for text in wrong.into_iter().chain(["Example.com", "*.EXAMPLE.com", "example.com.", ".example.com"]) {
        assert!(text.parse::<DomainPattern>().is_err(), "{text}");
    }
}

#[test]
fn a_wildcard_is_for_all_below_and_not_for_the_domain_itself() {
    let policy = with(FederationPolicy::default(), "*.example.com", BLOCKED);

    for name in ["chat.example.com", "a.b.c.example.com"] {
        assert_eq!(policy.standing(&fqdn(name)), BLOCKED, "{name}");
    }
    for name in ["example.com", "badexample.com", "example.com.test", "com.example"] {
        assert_eq!(policy.standing(&fqdn(name)), Standing::default(), "{name}");
    }
}

#[test]
fn of_several_rules_the_most_specific_holds() {
    let allowed = Standing::default();
    let rules = [
        ("*.example.com", BLOCKED),
        ("*.b.example.com", Standing::Paused),
        ("a.b.example.com", allowed),
        ("example.com", Standing::Blocked(Outbox::Hold)),
    ];
    let policy = rules
        .into_iter()
        .fold(FederationPolicy::default(), |policy, (pattern, standing)| with(policy, pattern, standing));

    for (name, standing) in [
        ("a.b.example.com", allowed),
        ("c.b.example.com", Standing::Paused),
        ("x.a.b.example.com", Standing::Paused),
        ("b.example.com", BLOCKED),
        ("c.example.com", BLOCKED),
        ("example.com", Standing::Blocked(Outbox::Hold)),
        ("example.org", allowed),
    ] {
        assert_eq!(policy.standing(&fqdn(name)), standing, "{name}");
    }
}

#[test]
fn on_an_allow_list_are_those_whom_a_rule_allows() {
    let policy = FederationPolicy::default().in_mode(Mode::AllowList);
    let policy = with(policy, "*.friends.test", Standing::default());
    let policy = with(policy, "odd.friends.test", BLOCKED);
    let federation = Federation::new(fqdn("alpha.test"), policy);
    let outbox = |name| (federation.admit(&fqdn(name)), federation.outbox(&fqdn(name)));

    assert_eq!(outbox("beta.friends.test"), (Ok(()), None));
    assert_eq!(outbox("odd.friends.test"), (Err(Reject::Forbidden), Some(Outbox::Drop)));
    assert_eq!(outbox("stranger.test"), (Err(Reject::Forbidden), Some(Outbox::Hold)));
    assert_eq!(outbox("alpha.test"), (Ok(()), None), "never against itself");
}

#[test]
fn who_is_paused_is_told_to_come_again_and_is_in_groups() {
    let policy = with(FederationPolicy::default(), "beta.test", Standing::Paused);
    let federation = Federation::new(fqdn("alpha.test"), policy);
    let beta = fqdn("beta.test");

    assert_eq!(federation.admit(&beta), Err(Reject::Unavailable(300)));
    assert_eq!(federation.outbox(&beta), Some(Outbox::Hold));
    assert!(!federation.is_blocked(&beta));
}

#[test]
fn a_rule_never_touches_the_homeserver_itself() {
    let policy = with(FederationPolicy::default(), "*.example.com", BLOCKED);
    let federation = Federation::new(fqdn("chat.example.com"), policy);

    assert!(
        !federation.is_blocked(&fqdn("chat.example.com")) && federation.is_blocked(&fqdn("x.example.com"))
    );
}

#[test]
fn terms_stand_in_place_of_the_defaults_and_are_told() {
    let terms = Terms { tokens: None, deliveries_per_s: Some(10), bytes_per_s: None };
    let policy = with(FederationPolicy::default(), "beta.test", Standing::Allowed(terms));
    let federation = Federation::new(fqdn("alpha.test"), policy);

    let of_beta = federation.terms(&fqdn("beta.test"));

    assert_eq!(of_beta.rate(Limit::SourceDeliveries), Some(Rate::new(10, 250)));
    assert_eq!([Limit::SourceBytes, Limit::Config].map(|limit| of_beta.rate(limit)), [None, None]);
    let told = of_beta.advertised(&Limits::default());
    assert_eq!((told.deliveries_per_s, told.bytes_per_s), (10, 16 << 20));
    assert_eq!(federation.terms(&fqdn("gamma.test")), Terms::default());
}

#[test]
fn what_is_set_for_all_below_a_domain_they_share() {
    let terms = |tokens| Standing::Allowed(Terms { tokens: Some(tokens), ..Terms::default() });
    let policy = with(FederationPolicy::default(), "*.beta.test", terms(5));
    let policy = with(policy, "own.beta.test", terms(7));
    let federation = Federation::new(fqdn("alpha.test"), policy);
    let of =
        |name| federation.token_allowance(&fqdn(name)).map(|it| (it.counted_as.to_string(), it.standard));

    assert_eq!(of("a.beta.test"), Some(("beta.test".to_owned(), 5)));
    assert_eq!(of("own.beta.test"), Some(("own.beta.test".to_owned(), 7)));
    assert_eq!([of("beta.test"), of("gamma.test")], [None, None]);
}

#[test]
fn there_are_only_so_many_rules_and_all_are_stored() {
    let mut policy = FederationPolicy::default().in_mode(Mode::AllowList);
    for number in 0..MAX_RULES {
        policy = with(policy, &format!("d{number}.test"), BLOCKED);
    }
    let terms = Terms { tokens: Some(1), deliveries_per_s: Some(2), bytes_per_s: Some(3) };

    let one_more = policy.clone().with("one.more.test".parse().unwrap(), BLOCKED);
    let policy = with(policy, "d0.test", Standing::Allowed(terms));
    let policy = with(policy.without(&"d1.test".parse().unwrap()), "*.below.test", Standing::Paused);

    assert_eq!(one_more, Err(PolicyError::TooMany));
    assert_eq!(policy.rules().count(), MAX_RULES);
    assert_eq!(FederationPolicy::decode(&policy.encode()), Ok(policy));
}

fn with(policy: FederationPolicy, pattern: &str, standing: Standing) -> FederationPolicy {
    policy.with(pattern.parse().unwrap(), standing).unwrap()
}

fn fqdn(name: &str) -> Fqdn {
    name.parse().unwrap()
}
