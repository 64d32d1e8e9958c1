//! How much the client's requests take.

use phoenix_core::{
    UserId,
    api::{
        Endpoint,
        delivery::{AddUsers, MAX_ADDS},
    },
};

use super::support::{befriend, play};
use crate::group::Plan;

#[test]
fn as_many_as_are_added_at_once_fit_into_a_request() {
    play(&["alpha.test"], async |world| {
        let (a, b, c) =
            (world.user("alpha.test").await, world.user("alpha.test").await, world.user("alpha.test").await);
        befriend(&a, &b).await;
        befriend(&a, &c).await;
        let group = a.create_group().await.expect("created");
        let friends: [UserId; 2] = [b.user().clone(), c.user().clone()];
        let mut sizes = Vec::new();
        for friends in [&friends[..1], &friends] {
            let mut session = a.lock().await;
            let invitees = session.fetch_invitees(&group, friends).await.expect("fetched");
            let sent = session.make_commit(&group, &Plan::Add(invitees)).expect("made").expect("a commit");
            session.drop_sent(&group).expect("dropped");
            sizes.push(sent.body.len());
        }

        let each = sizes[1] - sizes[0] + LONGER;
        let most = sizes[0] + MAX_ADDS * each;
        assert!(most <= AddUsers::DESCRIPTION.body_limit, "{most} bytes");
    });
}

/// How much more a client may take: one whose domain is as long as a domain may be, which its credential, the link to
/// it, its config and its batch name; whose keys are of the larger suite; and the path of a large group.
const LONGER: usize = 4 * 245 + 400;
