//! Pushes: at most once, boundedly many, and nobody waits for a push service.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::{FutureExt, executor::block_on};

use super::World;
use crate::{
    QsClientId,
    api::queue::PushToken,
    crypto::Chance,
    engine::{Pushes, Rules},
    limit::{Limit, Limits, Load, Rate},
    operation::PushHint,
    port::{PUSH_DEADLINE_S, Push, PushNotice, Topic, Urgency},
    wire::{Secret, SecretOpaque},
};

#[test]
fn what_was_offered_is_pushed_once_with_its_urgency() {
    let (world, service) = world(Limits::unlimited());
    world.engine.shared().offer_push(hint("a"));
    world.engine.shared().offer_push(PushHint { urgency: Urgency::High, ..hint("b") });

    block_on(Pushes::new(world.engine.shared().clone()).run_once());
    block_on(Pushes::new(world.engine.shared().clone()).run_once());

    let pushed = service.begun.lock().unwrap().clone();
    assert_eq!(pushed, [("a".to_owned(), Urgency::Normal), ("b".to_owned(), Urgency::High)]);
}

#[test]
fn a_push_service_that_does_not_answer_is_given_up() {
    let (world, service) = world(Limits::unlimited());
    world.engine.shared().offer_push(hint(SILENT));
    world.engine.shared().offer_push(hint("b"));

    block_on(Pushes::new(world.engine.shared().clone()).run_once());

    assert_eq!(service.begun.lock().unwrap().len(), 2);
    assert_eq!(world.clock.elapsed_s(), PUSH_DEADLINE_S);
}

#[test]
fn boundedly_many_pushes_are_under_way_at_a_time_and_the_others_wait() {
    let (world, service) = world(Limits::unlimited());
    world.clock.freeze();
    for _ in 0..1_024 {
        world.engine.shared().offer_push(hint(SILENT));
    }
    let pushes = Pushes::new(world.engine.shared().clone());
    let mut running = Box::pin(pushes.run());

    assert!((&mut running).now_or_never().is_none());
    world.engine.shared().offer_push(hint(SILENT));
    assert!((&mut running).now_or_never().is_none());

    assert_eq!(service.begun.lock().unwrap().len(), 1_024);
}

#[test]
fn the_worker_wakes_for_what_comes_while_it_waits() {
    let (world, service) = world(Limits::unlimited());
    world.clock.freeze();
    let pushes = Pushes::new(world.engine.shared().clone());
    let mut running = Box::pin(pushes.run());
    assert!((&mut running).now_or_never().is_none());

    world.engine.shared().offer_push(hint("late"));
    assert!((&mut running).now_or_never().is_none());

    assert_eq!(service.begun.lock().unwrap().len(), 1);
}

#[test]
fn pushes_over_their_budget_or_for_who_listens_are_not_sent() {
    let (world, service) = world(Limits { pushes: Some(Rate::hourly(3)), ..Limits::unlimited() });
    let listener = world.engine.shared().ports().wake.subscribe(&hint("").unless);
    world.engine.shared().offer_push(hint("while somebody listens"));
    drop(listener);
    for _ in 0..5 {
        world.engine.shared().offer_push(hint("x"));
    }

    block_on(Pushes::new(world.engine.shared().clone()).run_once());

    let pushed = service.begun.lock().unwrap().clone();
    assert_eq!(pushed.len(), 3);
    assert!(pushed.iter().all(|(text, _)| text == "x"));
}

#[test]
fn a_token_that_its_key_does_not_open_is_not_pushed_to() {
    let (world, service) = world(Limits::unlimited());
    world.engine.shared().offer_push(PushHint { key: Secret::new([9; 32]), ..hint("a") });
    world.engine.shared().offer_push(PushHint { client: QsClientId([9; 16]), ..hint("a") });

    block_on(Pushes::new(world.engine.shared().clone()).run_once());

    assert_eq!(service.begun.lock().unwrap().len(), 0);
}

fn world(limits: Limits) -> (World, Arc<Service>) {
    let service = Arc::<Service>::default();
    let world = World::pushing(service.clone(), Rules { limits, ..Rules::default() });
    (world, service)
}

fn hint(text: &str) -> PushHint {
    let (client, key) = (QsClientId([1; 16]), Secret::new([2; 32]));
    let token = PushToken::Other(SecretOpaque::new(text.as_bytes()).unwrap());
    PushHint {
        client,
        token: token.seal(&client, &key, &mut Chance::from_seed([3; 32])).unwrap(),
        key,
        urgency: Urgency::Normal,
        budget: Load::new(Limit::Pushes, "config", 1),
        unless: Topic("stream".into()),
    }
}

/// A push service that answers all but one.
#[derive(Default)]
struct Service {
    begun: Mutex<Vec<(String, Urgency)>>,
}

#[async_trait]
impl Push for Service {
    async fn push(&self, notice: &PushNotice) {
        let PushToken::Other(text) = &notice.token else { return };
        let text = String::from_utf8(text.expose().to_vec()).unwrap();
        let is_silent = text == SILENT;
        self.begun.lock().unwrap().push((text, notice.urgency));
        if is_silent {
            std::future::pending::<()>().await;
        }
    }
}

const SILENT: &str = "does not answer";
