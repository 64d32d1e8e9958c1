//! External commits: one joins a connection group of the other, and comes back into a group.

use phoenix_client::Event;
use phoenix_core::{Epoch, LeafIndex, api::queue::ConfigRule};

use crate::{
    player::{
        Who::{Max, Mia, Olga, Otto},
        until,
    },
    second_client::Heard,
    stage::in_both_suites,
};

#[test]
fn a_connection_that_mls_rs_offers_is_joined_by_openmls() {
    in_both_suites(&[Mia, Otto], |mut stage| async move {
        let connection = stage.connect(Mia, Otto).await;

        stage.go_to(connection);
        assert!(stage.on_openmls(Otto).connections().await.contains(&stage.user(Mia)));
        stage.assert_in_step(&[Mia, Otto]).await;
    });
}

#[test]
fn a_connection_that_openmls_offers_is_joined_by_mls_rs() {
    in_both_suites(&[Mia, Otto], |mut stage| async move {
        let (mia, otto) = (stage.user(Mia), stage.on_openmls(Otto));
        stage.on_mls_rs(Mia).register_alias("mia").await;
        let connection = otto.connect_alias("mia", &mia.domain).await.unwrap();

        assert_eq!(stage.on_mls_rs(Mia).accept_offer().await.unwrap(), connection);

        let answered = until(&otto, |event| match event {
            Event::AliasAnswered { group, user } => Some((group.clone(), user.clone())),
            _ => None,
        });
        assert_eq!(answered.await, (connection.clone(), mia));
        otto.confirm(&connection).await.unwrap();
        stage.go_to(connection);
        stage.assert_in_step(&[Mia, Otto]).await;
    });
}

#[test]
fn a_member_on_mls_rs_that_fell_behind_comes_back_with_its_leaf() {
    in_both_suites(&[Max, Olga], |mut stage| async move {
        stage.gather(Olga, &[Max]).await;
        for _ in 0..3 {
            stage.update(Olga).await;
        }

        let group = stage.group();
        let back = stage.on_mls_rs(Max).resync(&group).await.unwrap();

        assert_eq!((back.leaf, back.epoch), (LeafIndex(1), Epoch(5)));
        assert_eq!(stage.hears(Max).await, [Heard::Accepted(group)]);
        stage.assert_in_step(&[Max, Olga]).await;
        stage.update(Max).await;
        stage.assert_in_step(&[Max, Olga]).await;
    });
}

#[test]
fn a_member_on_openmls_that_fell_behind_comes_back_with_its_leaf_and_mls_rs_follows() {
    in_both_suites(&[Mia, Olga, Otto], |mut stage| async move {
        stage.gather(Mia, &[Olga, Otto]).await;
        let (group, otto) = (stage.group(), stage.on_openmls(Otto));
        let former = stage.member(Mia, Otto).await;
        otto.rule_group(&group, ConfigRule::Blocked).await.unwrap();
        stage.update(Mia).await;
        stage.catch_up(Otto).await;
        otto.rule_group(&group, ConfigRule::Free).await.unwrap();

        stage.send(Mia, "where are you?").await;
        until(&otto, |event| matches!(event, Event::Resynced { .. }).then_some(())).await;

        assert_eq!(stage.hears(Mia).await.last(), Some(&Heard::Commit(group, former.leaf)));
        assert_eq!(stage.member(Mia, Otto).await, former);
        stage.assert_in_step(&[Mia, Olga, Otto]).await;
    });
}
