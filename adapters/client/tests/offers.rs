//! What becomes of offers.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod support;

use std::time::Duration;

use phoenix_client::{Asked, Event, OfferMade, Outcome};

use support::{connected, offer, play, until};

#[test]
fn whoever_made_an_offer_sees_whether_it_is_open_accepted_or_declined() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b, c) =
            (world.user("alpha.test").await, world.user("beta.test").await, world.user("beta.test").await);
        let of_b = a.connect(b.user()).await.expect("offered");
        let of_c = a.connect(c.user()).await.expect("offered");
        let outcomes = async || {
            let mut made = a.offers_made().await;
            made.sort_by_key(|it| it.group != of_b);
            made.into_iter().map(|it| it.outcome).collect::<Vec<_>>()
        };
        assert_eq!(outcomes().await, [Outcome::Open, Outcome::Open]);

        let offered = until(&b, offer).await;
        b.decline(offered).await.expect("declined");
        let offered = until(&c, offer).await;
        c.accept(offered).await.expect("accepted");

        let mut declined = None;
        until(&a, |event| {
            if let Event::Declined { group, to } = event {
                declined = Some((group.clone(), to.clone()));
            }
            connected(event)
        })
        .await;
        assert_eq!(declined, Some((of_b.clone(), Asked::User(b.user().clone()))));
        assert_eq!(outcomes().await, [Outcome::Declined, Outcome::Accepted]);
        a.close(&of_c).await;
        assert_eq!(outcomes().await, [Outcome::Declined, Outcome::Ended]);
        assert!(b.accept(offered).await.is_err(), "it is gone");
    });
}

#[test]
fn whoever_declined_may_be_asked_again_and_who_ignores_an_offer_tells_nobody() {
    play(&["alpha.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("alpha.test").await);
        a.connect(b.user()).await.expect("offered");
        let offered = until(&b, offer).await;
        b.decline(offered).await.expect("declined");
        until(&a, |event| matches!(event, Event::Declined { .. }).then_some(())).await;

        let group = a.connect(b.user()).await.expect("offered again");

        let open = [OfferMade { group, to: Asked::User(b.user().clone()), outcome: Outcome::Open }];
        assert_eq!(a.offers_made().await, open);
        let offered = until(&b, offer).await;
        b.ignore(offered).await;
        assert_eq!(a.sync(Duration::from_secs(1)).await, Ok(Vec::new()));
        assert_eq!(a.offers_made().await, open);
    });
}
