//! Another key than the one that is pinned, and clients whose credentials have ended.

use std::time::Duration;

use phoenix_core::{ClientId, GroupId, Reject, Uuid};

use super::{support, trio};
use crate::{
    Client, ClientError, Event,
    group::{Effort, Tell, Trust},
};

use support::{connected, group_of, offer, play, text, until};

#[test]
fn what_a_client_says_whose_key_is_not_the_pinned_one_is_not_shown_until_it_was_compared() {
    play(&["alpha.test"], async |world| {
        let (a, b, c) = trio(&world).await;
        let group = read_group_of(&a, &b).await;
        a.lock().await.state.friends.get_mut(b.user()).expect("friends").key =
            c.lock().await.signer.verifying_key();
        forget_who_is_there(&a, &b, &group).await;

        b.send(&group, "who am I").await.expect("sent");

        let (mut is_told, mut is_hidden) = (false, false);
        until(&a, |event| {
            assert_eq!(text(event), None);
            is_told |= matches!(event, Event::MemberKeyChanged { client, .. } if client == b.id());
            is_hidden |= matches!(event, Event::Unverified { .. });
            (is_told && is_hidden).then_some(())
        })
        .await;
        let members = a.members(&group).await.expect("members");
        assert!(members.iter().all(|member| member.user.as_ref() != Some(b.user())), "{members:?}");

        let refused = a.accept_key(b.user(), &c.fingerprint().await).await;
        assert_eq!(refused, Err(ClientError::Unverified(Reject::Unauthenticated)));
        a.accept_key(b.user(), &b.fingerprint().await).await.expect("compared");
        b.send(&group, "it is me").await.expect("sent");
        let said = until(&a, |event| match event {
            Event::Message(message) => Some((message.client, message.text.clone())),
            _ => None,
        });
        assert_eq!(said.await, (b.id().client, "it is me".into()));
    });
}

#[test]
fn who_was_disconnected_can_be_connected_anew() {
    play(&["alpha.test"], async |world| {
        let (a, b, _) = trio(&world).await;

        a.disconnect(b.user()).await.expect("friends");
        b.disconnect(a.user()).await.expect("friends");

        assert!(!a.connections().await.contains(b.user()));
        assert!(matches!(a.disconnect(b.user()).await, Err(ClientError::State(_))));
        a.connect(b.user()).await.expect("offered");
        let offered = until(&b, offer).await;
        b.accept(offered).await.expect("accepted");
        assert_eq!(until(&a, connected).await, *b.user());
    });
}

#[test]
fn another_client_of_our_own_user_is_told_once() {
    play(&["alpha.test"], async |world| {
        let a = world.user("alpha.test").await;
        let unknown = ClientId { user: a.user().clone(), client: Uuid([7; 16]) };
        {
            let mut session = a.lock().await;
            session.meet_own(&unknown);
            session.meet_own(&unknown);
            session.meet_own(a.id());
        }

        let told = a.sync(Duration::ZERO).await.expect("synced");

        assert_eq!(told, [Event::OwnClient { client: unknown.client }]);
    });
}

#[test]
fn a_leaf_that_is_first_seen_after_its_chain_has_ended_proves_nothing() {
    play(&["alpha.test"], async |world| {
        let (a, b, _) = trio(&world).await;
        let group = read_group_of(&a, &b).await;
        world.clock.forward(91).await;
        forget_who_is_there(&a, &b, &group).await;

        let mut session = a.lock().await;
        let now = session.now();
        session.verify_members(&group, now, (Tell::Everybody, Effort::Patient)).await.expect("verified");

        let record = session.group(&group).expect("a group");
        let trusts: Vec<_> = record.members.values().map(|it| (it.trust, it.proven.is_some())).collect();
        assert_eq!(trusts, [(Trust::Verified, true), (Trust::Unproven, false)]);
        assert_eq!(session.check_trust(&group), Ok(()));
        assert_eq!(session.leaves_of(&group, &[b.user().clone()]), Ok(Vec::new()));
    });
}

#[test]
fn a_client_is_revoked_by_the_credential_it_has_though_its_leaf_shows_the_one_before() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        let stolen = world.another(&b).await;
        a.connect(b.user()).await.expect("offered");
        let offered = until(&stolen, offer).await;
        stolen.accept(offered).await.expect("accepted");
        until(&a, connected).await;
        world.clock.forward(61).await;
        b.renew_credential().await.expect("renewed");
        stolen.renew_credential().await.expect("renewed");
        let renewed = stolen.lock().await.state.account.credential.clone();
        {
            let mut session = a.lock().await;
            let now = session.now();
            session.verify_client(&renewed, now).await.expect("verified");
        }
        // The credential that its leaf shows is not on the list any more.
        world.clock.forward(31).await;
        b.remove_client(stolen.id().client, "password").await.expect("removed");

        a.check_authority(&b.user().domain).await.expect("checked");

        until(&a, |event| matches!(event, Event::Revoked { user } if user == b.user()).then_some(())).await;
    });
}

async fn read_group_of(one: &Client, other: &Client) -> GroupId {
    let group = group_of(one, other).await;
    one.sync(Duration::ZERO).await.expect("synced");
    group
}

/// As if someone's leaf had just come.
async fn forget_who_is_there(client: &Client, other: &Client, group: &GroupId) {
    let mut session = client.lock().await;
    let leaves = session.leaves_of(group, &[other.user().clone()]).expect("a group");
    let record = session.group_mut(group).expect("a group");
    for (_, member) in record.members.iter_mut().filter(|(leaf, _)| leaves.contains(leaf)) {
        (member.trust, member.proven) = (Trust::Unknown, None);
        record.faces.remove(&member.face);
    }
}
