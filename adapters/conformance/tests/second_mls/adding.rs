//! Whoever adds, and on whichever implementation, all read each other.

use phoenix_client::Client;
use phoenix_core::UserId;

use crate::{
    second_client::Heard,
    stage::{ALPHA, BETA, assert_in_step, befriend, connect, in_both_suites, joined, next_text, texts},
};

#[test]
fn a_group_of_mls_rs_takes_in_a_member_on_openmls() {
    in_both_suites(|mut stage| {
        let (mut mia, olga) = (stage.second("mia", ALPHA), stage.first("olga", BETA));
        stage.play(async move {
            befriend(&mut mia, &olga).await;
            let group = mia.create_group().await.unwrap();

            mia.invite(&group, olga.user()).await.unwrap();

            assert_eq!(joined(&olga, &group).await, *mia.user());
            assert_in_step(&group, &mut mia, &olga).await;
        });
    });
}

#[test]
fn a_group_of_openmls_takes_in_a_member_on_mls_rs() {
    in_both_suites(|mut stage| {
        let (mut mia, olga) = (stage.second("mia", BETA), stage.first("olga", ALPHA));
        stage.play(async move {
            befriend(&mut mia, &olga).await;
            let group = olga.create_group().await.unwrap();

            olga.invite(&group, &[mia.user().clone()]).await.unwrap();

            assert_eq!(mia.read().await, [Heard::Joined(group.clone())]);
            assert_in_step(&group, &mut mia, &olga).await;
        });
    });
}

#[test]
fn one_commit_adds_members_of_both_kinds_and_those_who_were_there_follow() {
    in_both_suites(|mut stage| {
        let (mut mia, mut max) = (stage.second("mia", ALPHA), stage.second("max", BETA));
        let (olga, otto) = (stage.first("olga", BETA), stage.first("otto", ALPHA));
        stage.play(async move {
            befriend(&mut mia, &olga).await;
            befriend(&mut max, &olga).await;
            let group = olga.create_group().await.unwrap();
            connect(&olga, &otto).await;
            olga.invite(&group, &[mia.user().clone()]).await.unwrap();
            assert_eq!(mia.read().await, [Heard::Joined(group.clone())]);

            olga.invite(&group, &[max.user().clone(), otto.user().clone()]).await.unwrap();

            assert_eq!(max.read().await, [Heard::Joined(group.clone())]);
            assert_eq!(joined(&otto, &group).await, *olga.user());
            assert_in_step(&group, &mut mia, &otto).await;
            max.send(&group, "all here?").await.unwrap();
            let from_max = (max.user().clone(), "all here?".to_owned());
            assert_eq!(next_text_of(&olga, max.user()).await, "all here?");
            assert_eq!(next_text(&otto).await, from_max);
            assert_eq!(texts(&mia.read().await), ["all here?"]);
        });
    });
}

async fn next_text_of(client: &Client, user: &UserId) -> String {
    loop {
        let (from, text) = next_text(client).await;
        if from == *user {
            return text;
        }
    }
}
