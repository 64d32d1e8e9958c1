//! Limits, the policy, and costs that an operator changed.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;

use super::{
    counter::{Add, JUDGED},
    rejected,
    world::World,
};
use crate::{
    ErrorReply, Failure, Origin, Reject,
    api::Endpoint,
    costs::Costs,
    engine::Rules,
    limit::{Limits, Rate},
    port::{OpenPolicy, Policy, Question, Verdict},
    token::{Authenticator, Class, Token},
    wire::{Call, Opaque, VERSION, Wire},
};

#[test]
fn a_call_over_a_limit_changes_nothing_and_pays() {
    let world = limited(Limits { leaf_messages: Some(Rate::new(1, 2)), ..Limits::unlimited() });
    for _ in 0..2 {
        block_on(world.add(1, Some(world.token(Class::Standard)))).unwrap();
    }
    let token = world.token(Class::Standard);

    let over = block_on(world.add(1, Some(token.clone())));

    assert_eq!(rejected(over), Reject::RateLimited(1));
    assert_eq!(world.count(), 2);
    world.clock.advance_s(2);
    assert_eq!(rejected(block_on(world.add(1, Some(token)))), Reject::TokenSpent);
    assert_eq!(block_on(world.add(1, Some(world.token(Class::Standard)))).unwrap(), 3);
}

#[test]
fn a_call_that_is_decided_anew_counts_once() {
    let world = limited(Limits { leaf_messages: Some(Rate::new(1, 2)), ..Limits::unlimited() });
    block_on(world.add(1, Some(world.token(Class::Standard)))).unwrap();
    world.clock.interfere_once(&world.store);

    let reply = block_on(world.add(1, Some(world.token(Class::Standard))));

    assert!(reply.is_ok(), "{reply:?}");
    let over = block_on(world.add(1, Some(world.token(Class::Standard))));
    assert_eq!(rejected(over), Reject::RateLimited(1));
}

#[test]
fn who_is_not_known_counts_for_nobody() {
    let world = limited(Limits { leaf_messages: Some(Rate::new(1, 1)), ..Limits::unlimited() });
    for _ in 0..5 {
        let forged = block_on(world.sign(world.signed(1, true)));
        assert_eq!(rejected(forged), Reject::Unauthenticated);
    }

    assert_eq!(block_on(world.sign(world.signed(1, false))).unwrap(), 1);
}

#[test]
fn a_source_sends_so_many_calls_and_the_next_is_not_even_decoded() {
    let world = limited(Limits { token: Some(Rate::new(2, 3)), ..Limits::unlimited() });
    let from = |address| Origin { address: Some(address), request: 0 };
    let (near, far) = (from([192, 0, 2, 1].into()), from([192, 0, 2, 2].into()));
    let token = world.token(Class::Standard);
    let junk = || {
        let body = Opaque::new(Bytes::from_static(b"junk")).unwrap();
        Call { version: VERSION, endpoint: Add::DESCRIPTION.id, auth: None, token: None, body }
    };
    for _ in 0..3 {
        let refused = block_on(world.engine.call::<Add>(junk(), near));
        assert!(matches!(rejected(refused), Reject::Malformed(_)));
    }

    let over = block_on(world.add_from(near, 1, Some(token.clone())));
    let over_with_junk = block_on(world.engine.call::<Add>(junk(), near));

    assert_eq!(rejected(over), Reject::RateLimited(1));
    assert_eq!(rejected(over_with_junk), Reject::RateLimited(1));
    assert!(world.store.dump().is_empty());
    assert!(block_on(world.add_from(far, 1, Some(world.token(Class::Standard)))).is_ok());
    assert!(block_on(world.add(1, Some(world.token(Class::Standard)))).is_ok(), "from inside");
    world.clock.advance_s(1);
    assert!(block_on(world.add_from(near, 1, Some(token))).is_ok(), "it was not spent");
}

#[test]
fn a_token_that_takes_ten_times_as_long_to_check_counts_for_ten_calls() {
    let world = limited(Limits { token: Some(Rate::new(1, 20)), ..Limits::unlimited() });
    let origin = Origin { address: Some([192, 0, 2, 1].into()), request: 0 };
    let token = world.token(Class::Standard);
    let forged = || Token { authenticator: Authenticator::P384([1; 48]), ..token.clone() };

    for _ in 0..2 {
        let refused = block_on(world.add_from(origin, 1, Some(forged())));
        assert_eq!(rejected(refused), Reject::TokenInvalid);
    }

    assert_eq!(rejected(block_on(world.add_from(origin, 1, Some(forged())))), Reject::RateLimited(10));
}

#[test]
fn calls_with_and_without_a_token_count_apart() {
    let limits =
        Limits { token: Some(Rate::new(1, 2)), tokenless: Some(Rate::new(1, 1)), ..Limits::unlimited() };
    let costs = Costs::default().with(Add::DESCRIPTION.id, None);
    let (paid, free) =
        (limited(limits.clone()), World::ruled(Rules { limits, costs, ..Rules::default() }, OpenPolicy));
    let origin = Origin { address: Some([192, 0, 2, 1].into()), request: 0 };

    for _ in 0..2 {
        block_on(paid.add_from(origin, 1, Some(paid.token(Class::Standard)))).unwrap();
    }
    block_on(free.add_from(origin, 1, None)).unwrap();

    let over = paid.add_from(origin, 1, Some(paid.token(Class::Standard)));
    assert_eq!(rejected(block_on(over)), Reject::RateLimited(1));
    assert_eq!(rejected(block_on(free.add_from(origin, 1, None))), Reject::RateLimited(1));
}

#[test]
fn a_changed_cost_is_what_a_call_pays_and_is_told_to_those_who_do_not() {
    let costs = Costs::default().with(Add::DESCRIPTION.id, Some(Class::Contact));
    let world = World::ruled(Rules { costs, ..Rules::default() }, OpenPolicy);

    let paid = block_on(world.add(1, Some(world.token(Class::Contact))));
    let before = block_on(world.add(1, Some(world.token(Class::Standard))));
    let nothing = block_on(world.add(1, None));

    assert_eq!(paid.unwrap(), 1);
    for refused in [before, nothing] {
        let told = ErrorReply::from(refused.unwrap_err());
        assert_eq!(told.code, crate::ErrorCode::TokenRequired);
        assert_eq!(told.wanted_class(), Some(Class::Contact));
        assert_eq!(told.detail.as_slice(), [Class::Contact as u8], "one byte");
    }
}

#[test]
fn a_token_that_is_no_good_is_told_with_the_class_that_would_be() {
    let world = World::new();
    let mut forged = world.token(Class::Standard);
    forged.nonce[0] ^= 1;

    let told = ErrorReply::from(block_on(world.add(1, Some(forged))).unwrap_err());

    assert_eq!((told.code, told.wanted_class()), (crate::ErrorCode::TokenInvalid, Some(Class::Standard)));
}

#[test]
fn what_costs_nothing_any_more_takes_no_token() {
    let costs = Costs::default().with(Add::DESCRIPTION.id, None);
    let world = World::ruled(Rules { costs, ..Rules::default() }, OpenPolicy);

    assert_eq!(block_on(world.add(1, None)).unwrap(), 1);
    let with_token = block_on(world.add(1, Some(world.token(Class::Standard))));
    assert_eq!(rejected(with_token), Reject::Malformed("token"));
}

#[test]
fn the_policy_hears_what_is_to_be_judged_once_and_only_of_calls_within_their_limits() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let limits = Limits { leaf_messages: Some(Rate::new(1, 1)), ..Limits::unlimited() };
    let world = World::ruled(Rules { limits, ..Rules::default() }, Listening(heard.clone()));
    world.clock.interfere_once(&world.store);

    block_on(world.add(JUDGED[0], Some(world.token(Class::Standard)))).unwrap();
    let over = block_on(world.add(JUDGED[0], Some(world.token(Class::Standard))));

    assert_eq!(rejected(over), Reject::RateLimited(1));
    assert_eq!(*heard.lock().unwrap(), [Some(JUDGED[0].encode())]);
}

#[test]
fn what_the_policy_puts_off_is_told_with_its_time() {
    let heard = Arc::default();
    let world = World::ruled(Rules::default(), Listening(heard));

    let refused: Result<u64, Failure> = block_on(world.add(JUDGED[1], Some(world.token(Class::Standard))));

    assert_eq!(rejected(refused), Reject::RateLimited(9));
    assert_eq!(world.count(), 0);
}

fn limited(limits: Limits) -> World {
    World::ruled(Rules { limits, ..Rules::default() }, OpenPolicy)
}

/// Remembers what it was asked, and puts off one thing.
struct Listening(Arc<Mutex<Vec<Option<Bytes>>>>);

#[async_trait]
impl Policy for Listening {
    async fn judge(&self, question: &Question) -> Verdict {
        assert_eq!(question.endpoint, Add::DESCRIPTION.id);
        self.0.lock().unwrap().push(question.subject.clone());
        if question.subject == Some(JUDGED[1].encode()) { Verdict::Later(9) } else { Verdict::Allow }
    }
}
