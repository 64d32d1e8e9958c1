//! External commits: one joins a connection group of the other, and comes back into a group.

use phoenix_client::Event;

use phoenix_core::{Epoch, LeafIndex};

use crate::{
    second_client::Heard,
    stage::{ALPHA, BETA, assert_in_step, befriend, in_both_suites, until},
};

#[test]
fn a_connection_that_mls_rs_offers_is_joined_by_openmls() {
    in_both_suites(|mut stage| {
        let (mut mia, olga) = (stage.second("mia", ALPHA), stage.first("olga", BETA));
        stage.play(async move {
            let group = befriend(&mut mia, &olga).await;

            assert!(olga.connections().await.contains(mia.user()));
            assert_in_step(&group, &mut mia, &olga).await;
        });
    });
}

#[test]
fn a_connection_that_openmls_offers_is_joined_by_mls_rs() {
    in_both_suites(|mut stage| {
        let (mut mia, olga) = (stage.second("mia", ALPHA), stage.first("olga", BETA));
        stage.play(async move {
            mia.register_alias("mia").await;
            let group = olga.connect_alias("mia", &mia.user().domain).await.unwrap();

            assert_eq!(mia.accept_offer().await.unwrap(), group);

            let answered = until(&olga, |event| match event {
                Event::AliasAnswered { group, user } => Some((group.clone(), user.clone())),
                _ => None,
            });
            assert_eq!(answered.await, (group.clone(), mia.user().clone()));
            olga.confirm(&group).await.unwrap();
            assert_in_step(&group, &mut mia, &olga).await;
        });
    });
}

#[test]
fn a_member_on_mls_rs_that_fell_behind_comes_back_with_its_leaf() {
    in_both_suites(|mut stage| {
        let (mut mia, olga) = (stage.second("mia", BETA), stage.first("olga", ALPHA));
        stage.play(async move {
            befriend(&mut mia, &olga).await;
            let group = olga.create_group().await.unwrap();
            olga.invite(&group, &[mia.user().clone()]).await.unwrap();
            mia.read().await;
            for _ in 0..3 {
                olga.update(&group).await.unwrap();
            }

            let back = mia.resync(&group).await.unwrap();

            assert_eq!((back.leaf, back.epoch), (LeafIndex(1), Epoch(5)));
            assert_eq!(mia.read().await, [Heard::Accepted(group.clone())]);
            assert_in_step(&group, &mut mia, &olga).await;
            mia.update(&group).await.unwrap();
            assert_in_step(&group, &mut mia, &olga).await;
        });
    });
}
