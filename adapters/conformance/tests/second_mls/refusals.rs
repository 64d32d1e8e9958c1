//! What a member on mls-rs may not do, the DS refuses, and the group goes on.

use phoenix_core::{
    ErrorCode, LeafIndex,
    api::delivery::{RemoveUsers, UpdateClient},
    wire::Opaque,
};

use crate::{
    player::Who::{Max, Mia, Olga, Otto},
    second_client::Change,
    stage::in_both_suites,
};

#[test]
fn a_member_without_the_role_removes_and_appoints_nobody() {
    in_both_suites(&[Max, Olga], |mut stage| async move {
        stage.gather(Olga, &[Max]).await;
        let (group, olga, own) = (stage.group(), stage.user(Olga), stage.users(&[Max]));
        let max = stage.on_mls_rs(Max);

        let removed = max.remove(&group, &olga).await.unwrap_err();
        let appointed = max.appoint(&group, &own).await.unwrap_err();
        let disguised = max.draft(&group, &[Change::Remove(LeafIndex(0))]);
        let disguised = max.submit::<UpdateClient>(&disguised).await.unwrap_err();

        assert_eq!((removed.code, appointed.code), (ErrorCode::Forbidden, ErrorCode::Forbidden));
        assert_eq!(disguised.code, ErrorCode::Malformed);
        stage.assert_in_step(&[Max, Olga]).await;
    });
}

#[test]
fn the_last_admin_on_mls_rs_does_not_leave_a_group_without_one() {
    in_both_suites(&[Mia, Otto], |mut stage| async move {
        stage.gather(Mia, &[Otto]).await;
        let group = stage.group();

        let refused = stage.on_mls_rs(Mia).appoint(&group, &[]).await.unwrap_err();

        assert_eq!(refused.code, ErrorCode::Malformed);
        stage.assert_in_step(&[Mia, Otto]).await;
    });
}

#[test]
fn a_commit_is_refused_whose_group_info_its_sender_did_not_sign() {
    in_both_suites(&[Mia, Otto], |mut stage| async move {
        stage.gather(Mia, &[Otto]).await;
        let group = stage.group();
        let mia = stage.on_mls_rs(Mia);

        let mut request = mia.draft(&group, &[]);
        let mut signature = request.group_info.signature.to_vec();
        *signature.last_mut().unwrap() ^= 1;
        request.group_info.signature = Opaque::new(signature).unwrap();
        let refused = mia.submit::<UpdateClient>(&request).await.unwrap_err();

        assert_eq!((refused.code, &*refused.detail), (ErrorCode::Malformed, b"group info".as_slice()));
        stage.assert_in_step(&[Mia, Otto]).await;
    });
}

#[test]
fn of_two_commits_for_one_epoch_the_later_is_refused_and_made_anew() {
    in_both_suites(&[Mia, Otto], |mut stage| async move {
        stage.gather(Mia, &[Otto]).await;
        let group = stage.group();

        let late = stage.on_mls_rs(Mia).draft(&group, &[]);
        stage.update(Otto).await;
        let refused = stage.on_mls_rs(Mia).submit::<UpdateClient>(&late).await.unwrap_err();

        assert_eq!((refused.code, refused.current_epoch()), (ErrorCode::Conflict, Some(2)));
        stage.catch_up(Mia).await;
        stage.update(Mia).await;
        stage.assert_in_step(&[Mia, Otto]).await;
    });
}

#[test]
fn who_was_removed_commits_nothing() {
    in_both_suites(&[Max, Olga], |mut stage| async move {
        stage.gather(Olga, &[Max]).await;
        let group = stage.group();

        stage.remove(Olga, Max).await;
        let max = stage.on_mls_rs(Max);
        let late = max.draft(&group, &[Change::Remove(LeafIndex(0))]);
        let refused = max.submit::<RemoveUsers>(&late).await.unwrap_err();

        assert_eq!(refused.code, ErrorCode::Unauthenticated);
    });
}
