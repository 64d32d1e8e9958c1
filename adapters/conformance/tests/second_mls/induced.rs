//! Removals that the DS proposes, as a sender from outside: whoever commits next carries them out, by reference.

use phoenix_core::time::{HOUR, MINUTE};

use crate::{
    player::Who::{self, Max, Mia, Olga, Otto},
    second_client::Heard,
    stage::{Stage, in_both_suites},
};

#[test]
fn mls_rs_removes_a_member_on_openmls_whose_queue_is_gone() {
    in_both_suites(&[Mia, Olga, Otto], |mut stage| async move {
        stage.gather(Mia, &[Olga, Otto]).await;

        lose_queue(&mut stage, Otto, Mia).await;
        assert_eq!(stage.hears(Mia).await.last(), Some(&Heard::Proposal(stage.group())));
        stage.update(Mia).await;

        stage.assert_in_step(&[Mia, Olga]).await;
    });
}

#[test]
fn openmls_removes_a_member_on_mls_rs_whose_queue_is_gone_and_another_one_follows() {
    in_both_suites(&[Mia, Max, Olga], |mut stage| async move {
        stage.gather(Olga, &[Mia, Max]).await;

        lose_queue(&mut stage, Max, Olga).await;
        stage.catch_up(Mia).await;
        stage.update(Olga).await;

        stage.assert_in_step(&[Mia, Olga]).await;
    });
}

#[test]
fn a_member_on_mls_rs_withdraws_its_removal_for_inactivity_and_carries_out_another() {
    in_both_suites(&[Mia, Max, Olga], |mut stage| async move {
        stage.gather(Olga, &[Mia, Max]).await;

        idle(&mut stage, Olga, &[Mia, Max]).await;
        stage.update(Mia).await;

        stage.assert_out(Max).await;
        stage.assert_in_step(&[Mia, Olga]).await;
    });
}

#[test]
fn a_member_on_openmls_withdraws_its_removal_for_inactivity_and_mls_rs_follows() {
    in_both_suites(&[Mia, Olga, Otto], |mut stage| async move {
        stage.gather(Mia, &[Olga, Otto]).await;

        idle(&mut stage, Mia, &[Olga, Otto]).await;
        stage.update(Olga).await;

        stage.assert_out(Otto).await;
        stage.assert_in_step(&[Mia, Olga]).await;
    });
}

/// Somebody ends its queue, and another writes and commits until the DS proposes to remove who cannot be reached.
async fn lose_queue(stage: &mut Stage, who: Who, by: Who) {
    stage.end_queue(who).await;
    for _ in 0..2 {
        stage.send(by, "do you hear me?").await;
        stage.wait(HOUR + 2 * MINUTE).await;
    }
    stage.update(by).await;
}

/// Months go by in which one member commits and the others only read, until Mia hears that the DS proposes to remove
/// those.
async fn idle(stage: &mut Stage, active: Who, others: &[Who]) {
    let proposed = Heard::Proposal(stage.group());
    for _ in 0..5 {
        stage.sleep(30).await;
        stage.stay_registered().await;
        stage.update(active).await;
        let heard = stage.hears(Mia).await;
        for who in others {
            stage.catch_up(*who).await;
        }
        if heard.contains(&proposed) {
            return;
        }
    }
    panic!("nobody was found to be inactive");
}
