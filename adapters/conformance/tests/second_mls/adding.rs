//! Whoever adds, and on whichever implementation, all read each other.

use phoenix_client::Habits;

use crate::{
    player::Who::{Max, Mia, Olga, Otto},
    second_client::ORDINARY,
    site::habits,
    stage::in_both_suites,
};

#[test]
fn a_group_of_mls_rs_takes_in_a_member_on_openmls() {
    in_both_suites(&[Mia, Otto], |mut stage| async move {
        stage.gather(Mia, &[Otto]).await;

        stage.assert_in_step(&[Mia, Otto]).await;
    });
}

#[test]
fn a_group_of_openmls_takes_in_a_member_on_mls_rs() {
    in_both_suites(&[Mia, Otto], |mut stage| async move {
        stage.gather(Otto, &[Mia]).await;

        stage.assert_in_step(&[Mia, Otto]).await;
    });
}

#[test]
fn one_commit_adds_members_of_both_kinds_and_those_who_were_there_follow() {
    in_both_suites(&[Mia, Max, Olga, Otto], |mut stage| async move {
        stage.gather(Olga, &[Mia]).await;
        stage.befriend(Olga, Max).await;
        stage.befriend(Olga, Otto).await;

        stage.invite(Olga, &[Max, Otto]).await;

        assert_eq!(stage.epoch(Otto).await, 2);
        stage.assert_in_step(&[Mia, Max, Olga, Otto]).await;
    });
}

#[test]
fn who_joins_on_mls_rs_by_a_last_resort_package_takes_another_leaf_in_each_group() {
    in_both_suites(&[Mia, Otto], |mut stage| async move {
        for _ in 0..ORDINARY {
            stage.gather(Otto, &[Mia]).await;
            let group = stage.group();
            assert!(!stage.on_mls_rs(Mia).is_leaf_shared(&group));
        }

        for _ in 0..2 {
            stage.gather(Otto, &[Mia]).await;
            let group = stage.group();
            assert!(stage.on_mls_rs(Mia).is_leaf_shared(&group));
            let former = stage.member(Mia, Mia).await.pseudonym;
            stage.on_mls_rs(Mia).renew(&group).await.unwrap();

            assert_ne!(stage.member(Mia, Mia).await.pseudonym, former);
            stage.assert_in_step(&[Mia, Otto]).await;
        }
    });
}

#[test]
fn who_joins_on_openmls_by_a_last_resort_package_takes_another_leaf_and_mls_rs_follows() {
    in_both_suites(&[Mia, Otto], |mut stage| async move {
        let Habits { add_packages, .. } = habits();
        for _ in 0..=add_packages {
            stage.gather(Mia, &[Otto]).await;
        }
        let (former, epoch) = (stage.member(Mia, Otto).await.pseudonym, stage.epoch(Mia).await);

        stage.send(Otto, "by a leaf of my own").await;
        stage.catch_up(Mia).await;

        assert_ne!(stage.member(Mia, Otto).await.pseudonym, former);
        assert_eq!(stage.epoch(Mia).await, epoch + 1);
        stage.assert_in_step(&[Mia, Otto]).await;
    });
}
