//! Whoever leaves proposes it, and is let go by whoever commits next: by reference.

use phoenix_core::api::delivery::UpdateClient;

use crate::{
    player::Who::{Max, Mia, Olga, Otto},
    second_client::Heard,
    stage::in_both_suites,
};

#[test]
fn a_member_on_mls_rs_leaves_and_openmls_lets_it_go() {
    in_both_suites(&[Mia, Max, Olga], |mut stage| async move {
        stage.gather(Olga, &[Mia, Max]).await;

        stage.leave(Max).await;
        stage.update(Olga).await;

        stage.assert_out(Max).await;
        let (group, olga) = (stage.group(), stage.member(Mia, Olga).await);
        assert_eq!(stage.hears(Mia).await, [Heard::Proposal(group.clone()), Heard::Commit(group, olga.leaf)]);
        stage.assert_in_step(&[Mia, Olga]).await;
    });
}

#[test]
fn a_member_on_mls_rs_leaves_and_another_one_that_is_no_admin_lets_it_go() {
    in_both_suites(&[Mia, Max, Olga], |mut stage| async move {
        stage.gather(Olga, &[Mia, Max]).await;

        stage.leave(Max).await;
        assert_eq!(stage.hears(Mia).await, [Heard::Proposal(stage.group())]);
        stage.update(Mia).await;

        stage.assert_out(Max).await;
        stage.assert_in_step(&[Mia, Olga]).await;
    });
}

#[test]
fn a_member_on_openmls_leaves_and_mls_rs_lets_it_go() {
    in_both_suites(&[Mia, Olga, Otto], |mut stage| async move {
        stage.gather(Mia, &[Olga, Otto]).await;

        stage.leave(Otto).await;
        assert_eq!(stage.hears(Mia).await.last(), Some(&Heard::Proposal(stage.group())));
        stage.update(Mia).await;

        stage.assert_out(Otto).await;
        stage.assert_in_step(&[Mia, Olga]).await;
    });
}

#[test]
fn the_only_admin_leaves_and_mls_rs_writes_down_who_acts_as_one() {
    in_both_suites(&[Mia, Max, Olga], |mut stage| async move {
        stage.gather(Olga, &[Mia, Max]).await;

        stage.leave(Olga).await;
        stage.catch_up(Max).await;
        let (group, acting) = (stage.group(), stage.users(&[Mia]));
        let max = stage.on_mls_rs(Max);
        let request = max.draft_appointment(&group, &acting).await;
        max.submit::<UpdateClient>(&request).await.unwrap();

        stage.assert_out(Olga).await;
        stage.assert_in_step(&[Mia, Max]).await;
        assert_eq!(stage.admins(Mia).await, acting);
    });
}
