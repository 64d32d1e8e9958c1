//! Messages of the moment, which keep no order with others.

use std::time::Duration;

use phoenix_core::{
    LeafIndex,
    api::delivery::{ContentKind, GroupContent, SendMessageRequest},
    port::Clock,
    wire::{Flag, Wire},
};

use super::support::{befriend, group_of, play};
use crate::{Event, group::Health};

#[test]
fn a_message_of_the_moment_says_nothing_of_what_was_missed() {
    play(&["alpha.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("alpha.test").await);
        befriend(&a, &b).await;
        let group = group_of(&a, &b).await;
        a.update(&group).await.expect("updated");
        let typing = a.prepare_message(&group, "typing", None).await.expect("made");
        let message = SendMessageRequest::decode(typing.call.body.as_slice()).expect("a request").message;
        let content = GroupContent { kind: ContentKind::Application, sender: LeafIndex(0), message };
        let at = (world.clock.now(), Flag::Yes);

        // It overtakes the commit that it was sent after; later it comes, and comes a second time.
        b.lock().await.take_message(&group, &content, at).await.expect_err("too early");
        assert_eq!(b.lock().await.group(&group).expect("a group").health, Health::Sound);
        let events = b.sync(Duration::from_secs(1)).await.expect("synced");
        b.lock().await.take_message(&group, &content, at).await.expect("in time");
        b.lock().await.take_message(&group, &content, at).await.expect_err("used up");

        assert!(events.iter().any(|event| matches!(event, Event::EpochChanged { .. })), "{events:?}");
        assert_eq!(b.lock().await.group(&group).expect("a group").health, Health::Sound);
    });
}
