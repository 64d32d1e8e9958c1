#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use phoenix_core::{
    GroupId, LeafIndex, Uuid,
    api::{
        delivery::{ContentKind, GroupAccess, GroupContent},
        queue::FanOutMessage,
    },
    crypto::Chance,
    operation::Local,
    wire::{Opaque, Wire},
};

use super::{FanOut, Urgency, returned};
use crate::{
    kinds::GROUP,
    testing::{Member, World},
};

#[test]
fn many_queues_of_this_homeserver_get_a_message_in_parts_and_those_of_another_in_one() {
    let world = World::new();
    let chance = &mut Chance::from_seed([1; 32]);
    let group = GroupId { uuid: Uuid([1; 16]), domain: "alpha.test".parse().unwrap() };
    let access = GroupAccess { group, ear_key_id: 0, ear_key: [1; 32].into() };
    let mut configs =
        |domain, count| -> Vec<_> { (0..count).map(|_| Member::fresh_config(domain, chance)).collect() };
    let all = [configs("alpha.test", 130), configs("beta.test", 130)].concat();
    let at = Local::new(GROUP, vec![5; 32]);
    let mut fan_out = FanOut::new(&access, &at, &world.context());
    let content =
        GroupContent { kind: ContentKind::Application, sender: LeafIndex(0), message: Opaque::default() };

    fan_out.send(Urgency::SILENT, &content, all.iter()).unwrap();

    let deliveries = fan_out.into_deliveries();
    let messages: Vec<_> = deliveries.iter().map(|it| FanOutMessage::decode(&it.body).unwrap()).collect();
    let sizes: Vec<_> = messages.iter().map(|it| it.recipients.len()).collect();
    assert_eq!(sizes, [60, 60, 10, 130]);
    assert!(deliveries.iter().all(|it| it.lane == deliveries[0].lane && it.lane != at.key));
    assert_eq!(messages[0].content, messages[2].content);
    assert_eq!(returned(&deliveries[0].back, &world.context()), Ok(at));
}
