//! Looking up users of other homeservers for clients (08, "User lifecycle").

use phoenix_core::{
    Reject, UserId,
    api::auth::{LookedUp, LookupRequest},
    federation::{Outbox, Standing},
    port::Space,
    token::Class,
};

use super::world::{By, TestClient, World, client_id};
use crate::{AuthSettings, op};

#[test]
fn where_nobody_is_asked_no_token_is_spent() {
    let request = |world: &World, domain| world.lookup_of(&client_id(9, domain).user);
    let off = World::new();
    let local = off.register(1);
    let before = off.spent();

    assert_eq!(refused(&off, &request(&off, "beta.test"), &local), Reject::Forbidden);

    assert_eq!((off.spent(), off.fetches()), (before, 0));

    // A user of this homeserver, one of a homeserver that is blocked, and of one that is paused.
    let on = World::looking_up();
    let local = on.register(1);
    let before = on.spent();

    assert!(matches!(refused(&on, &request(&on, "alpha.test"), &local), Reject::Malformed(_)));
    on.rule("beta.test", Standing::Blocked(Outbox::Drop));
    assert_eq!(refused(&on, &request(&on, "beta.test"), &local), Reject::Forbidden);
    on.rule("beta.test", Standing::Paused);
    assert!(matches!(refused(&on, &request(&on, "beta.test"), &local), Reject::Unavailable(_)));

    assert_eq!((on.spent(), on.fetches()), (before, 0));
}

#[test]
fn only_clients_of_this_homeserver_have_others_looked_up() {
    let world = World::looking_up();
    let (local, stranger) = (world.register(1), world.stranger(2));
    let request = world.lookup_of(&stranger.id.user);

    assert_eq!(refused(&world, &request, &stranger), Reject::Forbidden);
    let nobody = world.ask::<op::Lookup>(request.clone(), By::Nobody);
    assert_eq!(nobody, Err(Reject::Unauthenticated));
    let impostor = TestClient { key: stranger.key, ..local };
    assert_eq!(refused(&world, &request, &impostor), Reject::Unauthenticated);

    assert_eq!(world.fetches(), 0, "and for nobody else is anybody asked");
}

#[test]
fn who_has_a_silent_homeserver_asked_has_paid_for_it_and_who_does_not_pay_has_nobody_asked() {
    let world = World::looking_up();
    let local = world.register(1);
    let request = world.lookup_of(&world.stranger(2).id.user);
    let call = |token| world.call::<op::Lookup>(&request, By::Client(&local), Some(token));
    let (token, before) = (world.token(Class::Contact), world.spent());
    let kept = || {
        let partitions = world.store.dump().into_iter().map(|(partition, _)| partition);
        partitions.filter(|partition| partition.space() == Space::As).collect::<Vec<_>>()
    };
    let kept_before = kept();

    assert!(matches!(world.send::<op::Lookup>(call(token.clone())), Err(Reject::Unavailable(_))));

    assert_eq!((world.spent(), world.questions()), (before + 1, 1));
    assert_eq!(kept(), kept_before, "and nothing is kept of whom it was about");
    assert_eq!(world.send::<op::Lookup>(call(token)), Err(Reject::TokenSpent));
    assert_eq!(world.questions(), 1);
}

#[test]
fn a_host_that_is_no_homeserver_is_asked_nothing_and_left_in_peace() {
    let world = World::looking_up();
    let (local, nobody) = (world.register(1), client_id(2, "gamma.test"));
    let request = || world.lookup_of(&nobody.user);

    for _ in 0..3 {
        assert!(matches!(refused(&world, &request(), &local), Reject::Unavailable(_)));
    }

    assert_eq!((world.fetches(), world.questions()), (1, 0));
}

fn refused(world: &World, request: &LookupRequest, by: &TestClient) -> Reject {
    world.ask::<op::Lookup>(request.clone(), By::Client(by)).unwrap_err()
}

impl World {
    fn looking_up() -> Self {
        Self::with(AuthSettings { lookups: true, ..AuthSettings::default() })
    }

    fn lookup_of(&self, user: &UserId) -> LookupRequest {
        let token = self.token(Class::Contact);
        LookupRequest { user: user.clone(), wanted: LookedUp::ConnectionPackages, token }
    }

    /// How many tokens and frames were spent.
    fn spent(&self) -> usize {
        self.store.dump().iter().filter(|(at, _)| at.space() == Space::Spent).count()
    }
}
