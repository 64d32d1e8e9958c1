//! Leaves follow the credential.

use phoenix_core::{GroupId, Pseudonym, UserId};

use super::support::{befriend, joined, play, text, until};
use crate::{Client, group::Trust};

#[test]
fn leaves_are_renewed_in_the_days_after_the_credential_one_in_a_call() {
    play(&["alpha.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("alpha.test").await);
        let away = world.user("alpha.test").await;
        befriend(&a, &b).await;
        befriend(&a, &away).await;
        let group = a.create_group().await.expect("created");
        a.invite(&group, &[b.user().clone(), away.user().clone()]).await.expect("invited");
        until(&b, joined).await;
        until(&away, joined).await;
        // Whatever it was added by, it has a leaf of its own then.
        b.send(&group, "hello").await.expect("sent");
        let (name, stale) = (pseudonym(&b, &group).await, stale_groups(&b).await);
        assert_eq!(stale, 0);

        world.clock.forward(61).await;
        for client in [&a, &b] {
            client.maintain().await.expect("maintained");
        }
        world.clock.forward(8).await;

        for client in [&a, &b] {
            let mut left = stale_groups(client).await;
            assert!(left >= 1, "{left}");
            while left > 0 {
                client.maintain().await.expect("maintained");
                left -= 1;
                assert_eq!(stale_groups(client).await, left);
            }
            client.sync(std::time::Duration::ZERO).await.expect("synced");
        }
        assert_eq!(pseudonym(&b, &group).await, name);
        // All former credentials have ended: who was away meanwhile still believes the others. (It is no newcomer,
        // since OpenMLS measures what joins a group by the system's clock.)
        world.clock.forward(22).await;
        b.send(&group, "still here").await.expect("sent");
        assert_eq!(until(&away, text).await, "hello");
        assert_eq!(until(&away, text).await, "still here");
        let verified = verified(&away, &group).await;
        assert!([a.user(), b.user()].iter().all(|user| verified.contains(user)), "{verified:?}");
    });
}

async fn stale_groups(client: &Client) -> usize {
    client.lock().await.stale_groups().count()
}

async fn pseudonym(client: &Client, group: &GroupId) -> Pseudonym {
    client.lock().await.group(group).expect("a group").leaf.credential.pseudonym
}

/// Who shows a chain that holds now.
async fn verified(client: &Client, group: &GroupId) -> Vec<UserId> {
    let session = client.lock().await;
    let members = session.group(group).expect("a group").members.values();
    let verified = members.filter(|it| it.trust == Trust::Verified);
    verified.filter_map(|it| it.proven.clone()).collect()
}
