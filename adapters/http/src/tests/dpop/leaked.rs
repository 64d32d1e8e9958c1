//! Keys that somebody else has (10, T27).

use std::sync::atomic::Ordering;

use http::StatusCode;
use phoenix_core::time::{HOUR, MINUTE};

use super::Scene;

#[tokio::test]
async fn t27_a_thief_who_silences_a_keys_home_can_use_it_elsewhere_for_ten_minutes_more() {
    // given a thief who has a key, and keeps its home from answering those who ask for its keys
    let scene = Scene::new().await;
    let token = scene.token().await;
    assert_eq!(scene.media.get(&token, "/media/cat.png").await.0, StatusCode::OK);
    scene.silent.store(true, Ordering::SeqCst);
    scene.clock.pass(HOUR + 10 * MINUTE - 1);
    let stolen = scene.token().await;
    scene.alpha.admin().retire_dpop_keys().await.unwrap();

    // when the last answer is an hour and ten minutes old, then what the thief signs is worth nothing
    assert_eq!(scene.media.get(&stolen, "/media/cat.png").await.0, StatusCode::OK);
    scene.clock.pass(1);
    assert_eq!(scene.media.get(&stolen, "/media/cat.png").await.0, StatusCode::SERVICE_UNAVAILABLE);

    // nor when it answers again, and its users are known at once
    scene.silent.store(false, Ordering::SeqCst);
    scene.clock.pass(MINUTE);
    let fresh = scene.token().await;
    assert_eq!(scene.media.get(&fresh, "/media/cat.png").await.0, StatusCode::OK);
    assert_eq!(scene.media.get(&stolen, "/media/cat.png").await.0, StatusCode::UNAUTHORIZED);
}
