//! Commits of either implementation are followed by the other: updates, removals, and what was proposed before.

use std::time::Duration;

use crate::{
    second_client::Heard,
    stage::{ALPHA, BETA, assert_in_step, befriend, in_both_suites, joined, removed},
};

#[test]
fn updates_of_either_are_followed_by_the_other() {
    in_both_suites(|mut stage| {
        let (mut mia, olga) = (stage.second("mia", ALPHA), stage.first("olga", BETA));
        stage.play(async move {
            befriend(&mut mia, &olga).await;
            let group = mia.create_group().await.unwrap();
            mia.invite(&group, olga.user()).await.unwrap();
            joined(&olga, &group).await;

            for round in 0..2 {
                mia.update(&group).await.unwrap();
                while olga.epoch(&group).await.unwrap().0 < 2 * round + 2 {
                    olga.sync(Duration::from_secs(5)).await.unwrap();
                }
                olga.update(&group).await.unwrap();
                assert!(mia.read().await.iter().any(|it| matches!(it, Heard::Commit(..))));
            }

            assert_eq!(mia.epoch(&group), 5);
            assert_in_step(&group, &mut mia, &olga).await;
        });
    });
}

#[test]
fn openmls_removes_a_member_on_mls_rs_and_another_one_follows() {
    in_both_suites(|mut stage| {
        let (mut mia, mut max) = (stage.second("mia", ALPHA), stage.second("max", BETA));
        let olga = stage.first("olga", BETA);
        stage.play(async move {
            befriend(&mut mia, &olga).await;
            befriend(&mut max, &olga).await;
            let group = olga.create_group().await.unwrap();
            olga.invite(&group, &[mia.user().clone(), max.user().clone()]).await.unwrap();
            mia.read().await;
            max.read().await;

            olga.remove(&group, &[max.user().clone()]).await.unwrap();

            assert_eq!(max.read().await, [Heard::Removed(group.clone())]);
            assert_in_step(&group, &mut mia, &olga).await;
            assert_eq!(max.read().await, []);
        });
    });
}

#[test]
fn mls_rs_removes_a_member_on_openmls_and_another_one_follows() {
    in_both_suites(|mut stage| {
        let mut mia = stage.second("mia", ALPHA);
        let (olga, otto) = (stage.first("olga", BETA), stage.first("otto", ALPHA));
        stage.play(async move {
            befriend(&mut mia, &olga).await;
            befriend(&mut mia, &otto).await;
            let group = mia.create_group().await.unwrap();
            mia.invite(&group, olga.user()).await.unwrap();
            joined(&olga, &group).await;
            mia.invite(&group, otto.user()).await.unwrap();
            joined(&otto, &group).await;
            assert_in_step(&group, &mut mia, &otto).await;

            let members = mia.members(&group).await;
            let (leaf, _) = members.into_iter().find(|(_, user)| user == olga.user()).unwrap();
            mia.remove(&group, leaf).await.unwrap();

            removed(&olga, &group).await;
            assert_in_step(&group, &mut mia, &otto).await;
        });
    });
}
