//! What a member on mls-rs may not do, the DS refuses, and the group goes on.

use phoenix_core::{
    ErrorCode, LeafIndex,
    api::delivery::{RemoveUsers, UpdateClient},
    wire::Opaque,
};

use crate::{
    second_client::Change,
    stage::{ALPHA, BETA, assert_in_step, befriend, in_both_suites, joined},
};

#[test]
fn a_member_without_the_role_removes_nobody() {
    in_both_suites(|mut stage| {
        let (mut mia, olga) = (stage.second("mia", BETA), stage.first("olga", ALPHA));
        stage.play(async move {
            befriend(&mut mia, &olga).await;
            let group = olga.create_group().await.unwrap();
            olga.invite(&group, &[mia.user().clone()]).await.unwrap();
            mia.read().await;

            let removed = mia.remove(&group, LeafIndex(0)).await.unwrap_err();
            let disguised = mia.draft(&group, &[Change::Remove(LeafIndex(0))]);
            let disguised = mia.submit::<UpdateClient>(&disguised).await.unwrap_err();

            assert_eq!((removed.code, disguised.code), (ErrorCode::Forbidden, ErrorCode::Malformed));
            assert_in_step(&group, &mut mia, &olga).await;
        });
    });
}

#[test]
fn a_commit_is_refused_whose_group_info_its_sender_did_not_sign() {
    in_both_suites(|mut stage| {
        let (mut mia, olga) = (stage.second("mia", ALPHA), stage.first("olga", BETA));
        stage.play(async move {
            befriend(&mut mia, &olga).await;
            let group = mia.create_group().await.unwrap();
            mia.invite(&group, olga.user()).await.unwrap();

            let mut request = mia.draft(&group, &[]);
            let mut signature = request.group_info.signature.to_vec();
            *signature.last_mut().unwrap() ^= 1;
            request.group_info.signature = Opaque::new(signature).unwrap();
            let refused = mia.submit::<UpdateClient>(&request).await.unwrap_err();

            assert_eq!((refused.code, &*refused.detail), (ErrorCode::Malformed, b"group info".as_slice()));
            assert_in_step(&group, &mut mia, &olga).await;
        });
    });
}

#[test]
fn of_two_commits_for_one_epoch_the_later_is_refused_and_made_anew() {
    in_both_suites(|mut stage| {
        let (mut mia, olga) = (stage.second("mia", ALPHA), stage.first("olga", BETA));
        stage.play(async move {
            befriend(&mut mia, &olga).await;
            let group = mia.create_group().await.unwrap();
            mia.invite(&group, olga.user()).await.unwrap();
            joined(&olga, &group).await;

            let late = mia.draft(&group, &[]);
            olga.update(&group).await.unwrap();
            let refused = mia.submit::<UpdateClient>(&late).await.unwrap_err();

            assert_eq!((refused.code, refused.current_epoch()), (ErrorCode::Conflict, Some(2)));
            mia.read().await;
            mia.update(&group).await.unwrap();
            assert_in_step(&group, &mut mia, &olga).await;
        });
    });
}

#[test]
fn who_was_removed_commits_nothing() {
    in_both_suites(|mut stage| {
        let (mut mia, olga) = (stage.second("mia", BETA), stage.first("olga", ALPHA));
        stage.play(async move {
            befriend(&mut mia, &olga).await;
            let group = olga.create_group().await.unwrap();
            olga.invite(&group, &[mia.user().clone()]).await.unwrap();
            mia.read().await;

            olga.remove(&group, &[mia.user().clone()]).await.unwrap();
            let late = mia.draft(&group, &[Change::Remove(LeafIndex(0))]);
            let refused = mia.submit::<RemoveUsers>(&late).await.unwrap_err();

            assert_eq!(refused.code, ErrorCode::Unauthenticated);
        });
    });
}
