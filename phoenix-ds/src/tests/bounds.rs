//! What a request may bring at most, on either side of each bound (05, 07).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use phoenix_core::{
    Reject,
    api::{
        Endpoint,
        delivery::{self as api, MAX_ADDS},
    },
    wire::Wire,
};

use super::{group, world};
use crate::{
    AddUsers, DeliverySettings, SendMessage, SendTargeted,
    testing::{Member, World, rejected},
};

#[test]
fn a_message_as_long_as_the_setting_is_sent_and_one_byte_more_is_refused() {
    let lower = DeliverySettings { max_message_bytes: 5_000, ..DeliverySettings::default() };
    for settings in [DeliverySettings::default(), lower] {
        let limit = settings.max_message_bytes;
        let world = World::with(settings);
        let [mut a, b] = group(&world);
        // What MLS puts around a text that is about as long.
        let around = a.message(&vec![1; limit - 500]).message.len() - (limit - 500);

        for (length, is_sent) in [(limit, true), (limit + 1, false)] {
            let text = vec![1; length - around];
            let to_all = a.message(&text);
            assert_eq!(to_all.message.len(), length);
            assert!(to_all.encode().len() <= api::SendMessage::DESCRIPTION.body_limit);
            let sent = world.call::<SendMessage>(&to_all, Some(a.leaf()));
            assert_eq!(sent.is_ok(), is_sent, "{sent:?}");

            // Its authenticated data names whom it is for.
            let mut to_one = a.targeted(b.credential.pseudonym, &text);
            let more = to_one.message.len() - length;
            to_one = a.targeted(b.credential.pseudonym, &text[more..]);
            assert_eq!(to_one.message.len(), length);
            assert!(to_one.encode().len() <= api::SendTargeted::DESCRIPTION.body_limit);
            let sent_to_one = world.call::<SendTargeted>(&to_one, Some(a.leaf()));
            assert_eq!(sent_to_one.is_ok(), is_sent, "{sent_to_one:?}");

            if !is_sent {
                assert_eq!(rejected(sent), Reject::TooLarge("message"));
                assert_eq!(rejected(sent_to_one), Reject::TooLarge("message"));
            }
        }
    }
}

#[test]
fn a_commit_adds_256_clients_at_once_and_not_257() {
    let world = world();
    let mut a = Member::new(&world, "alpha.test");
    a.create(&world, None).unwrap();
    let mut joiners: Vec<_> = (0..=MAX_ADDS).map(|_| Member::new(&world, "alpha.test")).collect();
    let packages: Vec<_> = joiners.iter_mut().map(|joiner| joiner.package(&world)).collect();
    let described: Vec<_> = joiners.iter().take(MAX_ADDS).collect();

    let commit = a.commit(packages.clone(), &[], packages.len());
    let more = Member::adding_by(&world, commit, &described);
    // It has as many secrets in its Welcome.
    assert_eq!(rejected(world.call::<AddUsers>(&more, Some(a.leaf()))), Reject::Malformed("welcome"));

    let commit = a.commit(packages[..MAX_ADDS].to_vec(), &[], MAX_ADDS);
    let most = Member::adding_by(&world, commit, &described);
    world.call::<AddUsers>(&most, Some(a.leaf())).unwrap();
    a.merge();
    assert_eq!(world.group(a.access.as_ref().unwrap()).members.roster.members.len(), 1 + MAX_ADDS);
}
