//! What a client's own homeserver asks another on its behalf (08, "User lifecycle").

use phoenix_core::{
    ErrorCode, UserId, Uuid,
    api::auth::{GetConnectionPackage, LookedUp, Lookup, LookupReply, LookupRequest},
    token::{Class, Token},
};
use phoenix_homeserver::{Builder, auth};

use super::support::{play, play_with};
use crate::{Client, ClientError, ProfileKey};

#[test]
fn a_client_is_handed_what_the_other_homeserver_says() {
    play_with(&["alpha.test", "beta.test"], looking_up, async |world| {
        // given a client with tokens of another homeserver
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        let key = b.update_profile(b"Bob").await.expect("published");
        let nobody = UserId { uuid: Uuid([7; 16]), ..b.user().clone() };

        // when it looks somebody up, then it gets the profile and the packages
        assert_eq!(a.profile_through_home(b.user(), &key).await, Ok(b"Bob".to_vec()));
        let LookupReply::ConnectionPackages(found) = packages_of(&a, b.user(), contact(&a, &b).await).await
        else {
            panic!("no packages")
        };
        assert_eq!(found.packages[0].payload.credential.payload.client, *b.id());

        // and of one who is not there, what the other homeserver says to anyone
        let asked = {
            let mut session = a.lock().await;
            let route = session.fresh_route(&nobody.domain);
            session.call::<GetConnectionPackage>(&route, None, &nobody).await
        };
        let Err(ClientError::Refused(said)) = asked else { panic!("there is nobody") };
        let handed = packages_of(&a, &nobody, contact(&a, &b).await).await;
        assert_eq!((said.code, handed), (ErrorCode::NotFound, LookupReply::Refused(said)));
        let version = ProfileKey { version: 7, ..key };
        let missing = a.profile_through_home(b.user(), &version).await;
        assert_eq!(missing.expect_err("no such version").code(), Some(ErrorCode::NotFound));
    });
}

#[test]
fn the_other_homeserver_takes_its_own_token_once() {
    play_with(&["alpha.test", "beta.test"], looking_up, async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        let (token, own) = (contact(&a, &b).await, a.take_token(&a.user().domain, Class::Contact).await);

        let found = packages_of(&a, b.user(), token.clone()).await;

        assert!(matches!(found, LookupReply::ConnectionPackages(_)));
        for (token, code) in
            [(token, ErrorCode::TokenSpent), (own.expect("a token"), ErrorCode::TokenInvalid)]
        {
            let LookupReply::Refused(refused) = packages_of(&a, b.user(), token).await else {
                panic!("the same token twice, or one of another homeserver")
            };
            assert_eq!(refused.code, code);
        }
    });
}

#[test]
fn whoever_does_not_answer_is_told_as_not_to_be_had() {
    play_with(&["alpha.test", "beta.test"], looking_up, async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        let key = b.update_profile(b"Bob").await.expect("published");
        a.fetch_tokens(&b.user().domain, Class::Standard).await.expect("fetched");
        world.net.take_away("beta.test");

        let silent = a.profile_through_home(b.user(), &key).await;

        assert_eq!(silent.expect_err("nobody is there").code(), Some(ErrorCode::Unavailable));
    });
}

#[test]
fn a_homeserver_looks_nobody_up_unless_its_operator_lets_it() {
    play(&["alpha.test", "beta.test"], async |world| {
        let (a, b) = (world.user("alpha.test").await, world.user("beta.test").await);
        let key = b.update_profile(b"Bob").await.expect("published");

        let refused = a.profile_through_home(b.user(), &key).await;

        assert_eq!(refused.expect_err("off").code(), Some(ErrorCode::Forbidden));
    });
}

async fn packages_of(client: &Client, user: &UserId, token: Token) -> LookupReply {
    let request = LookupRequest { user: user.clone(), wanted: LookedUp::ConnectionPackages, token };
    let mut session = client.lock().await;
    let (route, auth) = session.account_way();
    session.call::<Lookup>(&route, Some(&auth), &request).await.expect("answered")
}

/// A token for reaching another user.
async fn contact(client: &Client, other: &Client) -> Token {
    client.take_token(&other.user().domain, Class::Contact).await.expect("a token")
}

fn looking_up(builder: Builder) -> Builder {
    builder.auth_settings(auth::Settings { lookups: true, ..auth::Settings::default() })
}
