//! Commits of either implementation are followed by the other: updates, removals, roles.

use phoenix_core::ErrorCode;

use crate::{
    player::Who::{Max, Mia, Olga, Otto},
    second_client::Heard,
    stage::in_both_suites,
};

#[test]
fn updates_of_either_are_followed_by_the_other() {
    in_both_suites(&[Mia, Otto], |mut stage| async move {
        stage.gather(Mia, &[Otto]).await;

        for _ in 0..2 {
            stage.update(Mia).await;
            stage.catch_up(Otto).await;
            stage.update(Otto).await;
            assert!(stage.hears(Mia).await.iter().any(|it| matches!(it, Heard::Commit(..))));
        }

        assert_eq!(stage.epoch(Mia).await, 5);
        stage.assert_in_step(&[Mia, Otto]).await;
    });
}

#[test]
fn openmls_removes_a_member_on_mls_rs_and_another_one_follows() {
    in_both_suites(&[Mia, Max, Olga], |mut stage| async move {
        stage.gather(Olga, &[Mia, Max]).await;

        stage.remove(Olga, Max).await;

        stage.assert_out(Max).await;
        stage.assert_in_step(&[Mia, Olga]).await;
        assert_eq!(stage.hears(Max).await, []);
    });
}

#[test]
fn mls_rs_removes_a_member_on_openmls_and_another_one_follows() {
    in_both_suites(&[Mia, Olga, Otto], |mut stage| async move {
        stage.gather(Mia, &[Olga, Otto]).await;
        stage.assert_in_step(&[Mia, Olga, Otto]).await;

        stage.remove(Mia, Olga).await;

        stage.assert_out(Olga).await;
        stage.assert_in_step(&[Mia, Otto]).await;
    });
}

#[test]
fn an_admin_on_mls_rs_makes_another_who_unmakes_it() {
    in_both_suites(&[Mia, Olga, Otto], |mut stage| async move {
        stage.gather(Mia, &[Olga, Otto]).await;

        stage.appoint(Mia, &[Mia, Otto]).await;
        stage.assert_in_step(&[Mia, Olga, Otto]).await;
        stage.appoint(Otto, &[Otto]).await;
        stage.assert_in_step(&[Mia, Olga, Otto]).await;

        assert_eq!(stage.admins(Mia).await, stage.users(&[Otto]));
        let (group, olga) = (stage.group(), stage.user(Olga));
        let refused = stage.on_mls_rs(Mia).remove(&group, &olga).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Forbidden);
        stage.remove(Otto, Olga).await;
        stage.assert_in_step(&[Mia, Otto]).await;
    });
}

#[test]
fn a_member_on_mls_rs_that_openmls_made_admin_acts_as_one() {
    in_both_suites(&[Mia, Max, Olga], |mut stage| async move {
        stage.gather(Olga, &[Mia, Max]).await;

        stage.appoint(Olga, &[Max]).await;
        stage.assert_in_step(&[Mia, Max, Olga]).await;

        assert_eq!(stage.admins(Mia).await, stage.users(&[Max]));
        stage.remove(Max, Mia).await;
        stage.assert_out(Mia).await;
        stage.assert_in_step(&[Max, Olga]).await;
    });
}
