#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use phoenix_core::{
    GroupId, LeafIndex, Reject, Uuid,
    api::{
        delivery::{ContentKind, GroupAccess, GroupContent},
        queue::{ClientQueueConfig, FanOutMessage, NotifyClass},
    },
    crypto::Chance,
    operation::{Decision, Local},
    port::{Alarm, Write},
    wire::{Opaque, Wire},
};

use super::{FanOut, returned};
use crate::{
    kinds::GROUP,
    testing::{Member, World, rejected},
};

fn configs(domain: &str, count: usize) -> Vec<ClientQueueConfig> {
    let chance = &mut Chance::from_seed([1; 32]);
    (0..count).map(|_| Member::fresh_config(domain, chance)).collect()
}

fn at() -> Local {
    Local::new(GROUP, [5; 32])
}

/// What is sent for so many bytes to these queues.
fn sent(world: &World, bytes: usize, to: &[ClientQueueConfig]) -> Result<FanOut, Reject> {
    let group = GroupId { uuid: Uuid([1; 16]), domain: "alpha.test".parse()? };
    let access = GroupAccess { group, ear_key_id: 0, ear_key: [1; 32].into() };
    let mut fan_out = FanOut::new(&access, &at(), &world.context());
    let message = Opaque::new(vec![7; bytes])?;
    let content = GroupContent { kind: ContentKind::Application, sender: LeafIndex(0), message };
    fan_out.send(NotifyClass::Normal, &content, to.iter())?;
    Ok(fan_out)
}

fn messages(fan_out: &FanOut) -> Vec<FanOutMessage> {
    fan_out.deliveries.iter().map(|it| FanOutMessage::decode(&it.body).unwrap()).collect()
}

#[test]
fn each_domain_gets_a_message_once_with_its_own_recipients() {
    let world = World::new();
    let all = [configs("alpha.test", 130), configs("beta.test", 130)].concat();

    let fan_out = sent(&world, 300, &all).unwrap();

    let (messages, deliveries) = (messages(&fan_out), &fan_out.deliveries);
    let sizes: Vec<_> = messages.iter().map(|it| it.recipients.len()).collect();
    assert_eq!(sizes, [130, 130]);
    assert!(deliveries.iter().all(|it| it.lane == deliveries[0].lane && it.lane != at().key()));
    assert_ne!(messages[0].content, messages[1].content);
    assert_eq!(returned(&deliveries[0].back, &world.context()), Ok(at()));
}

#[test]
fn what_one_batch_does_not_take_is_refused_before_it_is_made() {
    let world = World::new();
    let to = |count: usize| -> Vec<_> {
        (0..count).flat_map(|number| configs(&format!("d{number}.test"), 1)).collect()
    };

    let most = sent(&world, 250_000, &to(32)).unwrap();
    let more = sent(&world, 250_000, &to(1_000));

    assert_eq!(rejected(more.map_err(Into::into)), Reject::TooLarge("message"));
    assert!(most.decide(Decision::reply(()), at(), Vec::new(), Alarm::Keep).is_ok());
}

#[test]
fn what_a_decision_writes_beside_counts_too() {
    let world = World::new();
    let to: Vec<_> = (0..32).flat_map(|number| configs(&format!("d{number}.test"), 1)).collect();
    let writes = vec![Write::Put(vec![1].into(), vec![0; 500_000].into())];

    let fan_out = sent(&world, 250_000, &to).unwrap();

    let outcome = fan_out.decide(Decision::reply(()), at(), writes, Alarm::Keep);
    assert_eq!(outcome.err(), Some(Reject::TooLarge("message")));
}

#[test]
fn a_message_to_a_thousand_queues_of_one_domain_is_one_delivery() {
    let world = World::new();

    for domain in ["alpha.test", "beta.test"] {
        let fan_out = sent(&world, 250_000, &configs(domain, 1_000)).unwrap();

        assert_eq!(fan_out.deliveries.len(), 1);
    }
    let too_large = sent(&world, 1_800_000, &configs("beta.test", 1_000));
    assert!(matches!(rejected(too_large.map_err(Into::into)), Reject::TooLarge(_)));
}
