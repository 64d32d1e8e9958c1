//! What is proposed first, and committed by reference.

use std::sync::Arc;

use phoenix_client::Client;
use phoenix_core::GroupId;

use crate::{
    second_client::{Heard, SecondClient},
    stage::{ALPHA, BETA, Stage, assert_in_step, befriend, in_both_suites},
};

#[test]
fn a_member_on_mls_rs_leaves_and_openmls_lets_it_go() {
    in_both_suites(|mut stage| {
        let (mut mia, mut max, olga) = people(&mut stage);
        stage.play(async move {
            let group = gather(&mut mia, &mut max, &olga).await;

            max.leave(&group).await.unwrap();
            olga.update(&group).await.unwrap();

            assert_eq!(max.read().await, [Heard::Removed(group.clone())]);
            let olgas = mia.members(&group).await[0].0;
            assert_eq!(
                mia.read().await,
                [Heard::Proposal(group.clone()), Heard::Commit(group.clone(), olgas)]
            );
            assert_in_step(&group, &mut mia, &olga).await;
        });
    });
}

/// A member on mls-rs that stays, another one that goes, and the admin, on OpenMLS.
fn people(stage: &mut Stage) -> (SecondClient, SecondClient, Arc<Client>) {
    (stage.second("mia", ALPHA), stage.second("max", BETA), stage.first("olga", ALPHA))
}

/// A group of the three.
async fn gather(mia: &mut SecondClient, max: &mut SecondClient, olga: &Client) -> GroupId {
    befriend(mia, olga).await;
    befriend(max, olga).await;
    let group = olga.create_group().await.unwrap();
    olga.invite(&group, &[mia.user().clone(), max.user().clone()]).await.unwrap();
    mia.read().await;
    max.read().await;
    group
}
