//! What delivery services take out of groups by themselves (07, "DS-induced removals").

use std::collections::BTreeSet;

use phoenix_core::{
    GroupId, UserId,
    federation::{Outbox, Standing},
    time::HOUR,
};

use super::{
    cast::Cast,
    play::{come_to_rest, say, speaker, speaker_among},
};

/// The queue of someone is gone, and messages of more than an hour do not reach it: wherever they were, they are no
/// members any more.
pub(crate) async fn whose_queue_is_gone(cast: &Cast) {
    let mut groups = cast.groups();
    let is_in_one =
        |user: &UserId| groups.iter().any(|group| cast.ground.oracle.members(group).0.contains(user));
    let candidates = cast.actors.iter().filter(|it| cast.is_only_client(it) && is_in_one(&it.user));
    let candidates: Vec<_> = candidates.collect();
    let Some(gone) = cast.ground.tape.pick(&candidates) else { return };
    if !gone.ends_its_queue().await {
        return;
    }
    groups.retain(|group| gone.is_member(group));
    for group in &groups {
        gone.diary().ended(group);
        cast.ground.oracle.expelled(group, &BTreeSet::from([gone.user.clone()]));
    }
    say_to_all(cast, &groups, "asks").await;
    cast.ground.clock.sleep_ms(GONE_MS).await;
    say_to_all(cast, &groups, "asks again").await;
    carry_out(cast, &groups, "goes on without a queue that is gone").await;
}

/// A homeserver's operator blocks a domain for a while: wherever its users were, they are no members any more, but for groups that
/// they have for themselves.
pub(crate) async fn whose_domain_is_blocked(cast: &Cast) {
    let ground = &cast.ground;
    let domains = ground.domains();
    let (Some(home), Some(blocked)) = (ground.tape.pick(&domains), ground.tape.pick(&domains)) else {
        return;
    };
    if home == blocked {
        return;
    }
    ground.log.line(format!("{home} blocks {blocked}"));
    ground.rule(home, blocked, Some(Standing::Blocked(Outbox::Hold))).await;
    let mut groups = cast.groups();
    let has_others =
        |group: &GroupId| ground.oracle.members(group).0.iter().any(|user| user.domain != *blocked);
    groups.retain(|group| group.domain == *home && has_others(group));
    let theirs: Vec<_> = cast.actors.iter().filter(|actor| actor.user.domain == *blocked).collect();
    let users = theirs.iter().map(|actor| actor.user.clone()).collect();
    for group in &groups {
        ground.oracle.expelled(group, &users);
    }
    // With a commit of somebody else's the delivery service learns whom it has to propose. What they are sent meanwhile
    // is held, and arrives once the block has ended; that their removal is proposed stays so.
    for group in &groups {
        if let Some(member) = speaker_among(cast, group, |actor| actor.user.domain != *blocked) {
            member.update(group).await;
        }
    }
    ground.rule(home, blocked, None).await;
    come_to_rest(cast).await;
    say_to_all(cast, &groups, "goes on without a domain that was blocked").await;
    for actor in theirs {
        for group in &groups {
            actor.send(group, &format!("{} is still here in {}", actor.name, group.uuid)).await;
        }
    }
}

/// With a commit the delivery service learns whom it has to propose; the next one removes them.
async fn carry_out(cast: &Cast, groups: &[GroupId], what: &str) {
    for group in groups {
        if let Some(member) = speaker(cast, group) {
            member.update(group).await;
        }
    }
    come_to_rest(cast).await;
    say_to_all(cast, groups, what).await;
}

async fn say_to_all(cast: &Cast, groups: &[GroupId], what: &str) {
    for group in groups {
        say(cast, group, what).await;
    }
    come_to_rest(cast).await;
}

/// A queue counts as gone where two messages that are an hour apart did not reach it; when, is told to the minute.
const GONE_MS: u64 = (HOUR + 120) * 1_000;
