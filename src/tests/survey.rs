//! What an operator is told of what waits for other homeservers.

use std::sync::atomic::Ordering;

use futures::executor::block_on;
use phoenix_core::{ErrorCode, Reject, Timestamp, time::DAY};

use super::mailbox::{Refuses, forward_to, pair, ring};
use crate::{GreetError, Homeserver, PeerSurvey, survey::PAGE};

#[test]
fn an_operator_sees_what_waits_since_when_how_it_fails_and_when_it_was_taken() {
    let (alpha, clock, beta) = pair(Refuses::Everything, Reject::Unavailable(1));
    let began_at = alpha.inner.shared.ports().clock.now();
    forward(&alpha, "beta.test", 1);
    clock.advance_s(60);
    forward(&alpha, "beta.test", 1);
    assert_eq!(survey(&alpha).attempts, 0);

    for _ in 0..5 {
        clock.advance_s(300);
        ring(&alpha);
    }

    let found = survey(&alpha);
    let accepted_at = Timestamp::from_secs(began_at.as_secs());
    assert_eq!((found.waiting, found.waits_since), (2, Some(accepted_at)));
    assert_eq!((found.attempts, found.failing_since), (5, Some(began_at.plus_secs(360))));
    assert_eq!(found.failure, Some(GreetError::Refused(ErrorCode::Unavailable)));
    assert!(found.left_alone_until.is_some());
    assert_eq!(block_on(alpha.admin().survey(None)).unwrap(), [found]);
    beta.refuses_nothing.store(true, Ordering::Relaxed);
    while survey(&alpha).waiting > 0 {
        ring(&alpha);
        clock.advance_s(300);
    }
    assert_eq!(block_on(alpha.admin().survey(None)).unwrap(), []);
    assert_eq!((survey(&alpha).failure, survey(&alpha).left_alone_until), (None, None));
}

#[test]
fn what_was_set_aside_is_told_though_nothing_waits() {
    let (alpha, _, _beta) = pair(Refuses::Deliveries, Reject::Malformed("transaction"));
    forward(&alpha, "beta.test", 1);

    ring(&alpha);

    let all = block_on(alpha.admin().survey(None)).unwrap();
    assert_eq!(all.iter().map(|it| (it.waiting, it.set_aside)).collect::<Vec<_>>(), [(0, 1)]);
}

#[test]
fn what_was_given_up_is_told_with_how_much_it_was() {
    let (alpha, clock, _beta) = pair(Refuses::Everything, Reject::Unavailable(1));
    for _ in 0..3 {
        forward(&alpha, "beta.test", 1);
    }
    clock.advance_s(7 * DAY);
    forward(&alpha, "beta.test", 1);

    ring(&alpha);

    let all = block_on(alpha.admin().survey(None)).unwrap();
    assert_eq!(all.iter().map(|it| (it.waiting, it.given_up)).collect::<Vec<_>>(), [(1, 3)]);
    clock.advance_s(7 * DAY);
    ring(&alpha);
    let all = block_on(alpha.admin().survey(None)).unwrap();
    assert_eq!(all.iter().map(|it| (it.waiting, it.given_up)).collect::<Vec<_>>(), [(0, 4)]);
}

#[test]
fn homeservers_are_told_of_in_order_and_some_at_a_time() {
    let (alpha, ..) = pair(Refuses::Everything, Reject::Forbidden);
    for number in (0..PAGE + 6).rev() {
        forward(&alpha, &format!("d{number:03}.test"), 1);
    }
    let admin = alpha.admin();

    let first = block_on(admin.survey(None)).unwrap();
    let second = block_on(admin.survey(first.last().map(|it| &it.domain))).unwrap();
    let third = block_on(admin.survey(second.last().map(|it| &it.domain))).unwrap();

    assert_eq!((first.len(), second.len(), third.len()), (PAGE, 6, 0));
    assert!(first.iter().chain(&second).is_sorted_by_key(|it| &it.domain));
}

fn survey(home: &Homeserver) -> PeerSurvey {
    block_on(home.admin().survey_of(&"beta.test".parse().unwrap())).unwrap()
}

fn forward(from: &Homeserver, to: &str, group: u8) {
    block_on(forward_to(from, to, group));
}
