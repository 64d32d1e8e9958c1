//! T9, a user's packages drained, so that nobody else reaches it or adds it.

use std::time::Duration;

use phoenix_client::Event;
use phoenix_core::{
    ErrorCode,
    api::{
        Endpoint,
        auth::GetConnectionPackage,
        queue::{GetAddPackages, GetAddPackagesRequest},
    },
    token::Class,
    wire::{Secret, Wire},
};

use crate::site::{Person, Site};

#[test]
fn t09_who_drains_a_users_packages_pays_for_each_and_leaves_the_last_to_everyone() {
    let mut site = Site::new(&["alpha.test", "beta.test"], 9);
    let victim = site.register("victim", "alpha.test");
    let hostile = site.register("hostile", "alpha.test");
    let honest = site.register("honest", "beta.test");

    let (user, drain) = (victim.client.user().clone(), hostile.clone());
    let (taken, stopped) = site.run(async move {
        let domain = user.domain.clone();
        let free = drain.ask::<GetConnectionPackage>("alpha.test", &user, None).await;
        assert_eq!(free.unwrap_err().code, ErrorCode::TokenRequired);
        let mut taken = Vec::new();
        loop {
            match drain.client.take_token(&domain, Class::Contact).await {
                Ok(token) => {
                    let found = drain.ask::<GetConnectionPackage>("alpha.test", &user, Some(token)).await;
                    let found = found.unwrap().packages;
                    assert_eq!(found.len(), 1, "one for each client, whatever was taken before");
                    taken.push(found[0].encode());
                }
                Err(error) => break (taken, error.code()),
            }
        }
    });
    let mut different = taken.clone();
    different.dedup();
    println!(
        "{} packages served for {} Contact tokens, {} different",
        taken.len(),
        taken.len(),
        different.len()
    );
    assert_eq!((taken.len(), stopped), (ALLOWANCE, Some(ErrorCode::RateLimited)));
    assert!(different.len() > 1 && different.len() < ALLOWANCE, "the last one is served again");
    assert_eq!(taken[ALLOWANCE - 2], taken[ALLOWANCE - 1]);

    let (from, to) = (honest.client.clone(), victim.client.clone());
    let events = site.run(async move {
        from.connect(to.user()).await.unwrap();
        to.sync(Duration::ZERO).await.unwrap()
    });
    let offers = events
        .iter()
        .filter(|event| matches!(event, Event::Offer { from, .. } if from == honest.client.user()));
    assert_eq!(offers.count(), 1, "who is honest reaches the user as before");
}

#[test]
fn t09_a_friend_that_drains_add_packages_leaves_the_last_ones_to_every_other_friend() {
    let mut site = Site::new(&["alpha.test", "beta.test"], 90);
    let victim = site.register("victim", "alpha.test");
    let [hostile, honest] = ["hostile", "honest"].map(|name| site.register(name, "beta.test"));
    site.connect(&hostile, &victim);
    site.connect(&honest, &victim);

    let (drained, drain) = (victim.client.user().clone(), hostile.clone());
    let (refused, taken) = site.run(async move {
        let group = drain.client.create_group().await.unwrap();
        drain.client.invite(&group, &[drained]).await.unwrap();
        let request = asked_for(&drain);
        let mut without_secret = request.clone();
        without_secret.token.secret = Secret::new([9; 32]);
        let mut refused = vec![taken(&drain, &request, false).await.unwrap_err()];
        refused.push(taken(&drain, &without_secret, true).await.unwrap_err());
        let mut packages = Vec::new();
        for _ in 0..FETCHES {
            packages.push(taken(&drain, &request, true).await.unwrap());
        }
        (refused, packages)
    });
    let ordinary = taken.iter().position(|package| *package == taken[FETCHES - 1]).unwrap();
    println!(
        "{FETCHES} AddPackages for as many Standard tokens; after {ordinary} the last one again and again"
    );
    assert_eq!(refused, [ErrorCode::TokenRequired, ErrorCode::NotFound], "and nobody else takes any");
    assert!(ordinary < 10 && taken[ordinary..].iter().all(|package| *package == taken[ordinary]));

    let (from, to) = (honest.client.clone(), victim.client.clone());
    let joined = site.run(async move {
        let group = from.create_group().await.unwrap();
        from.invite(&group, std::slice::from_ref(to.user())).await.unwrap();
        let mut joined = false;
        for _ in 0..3 {
            let events = to.sync(Duration::from_secs(5)).await.unwrap();
            joined |= events.iter().any(|it| matches!(it, Event::Joined { by, .. } if by == from.user()));
        }
        joined
    });
    assert!(joined, "another friend adds the user as before");
}

/// What someone asked for when it added somebody.
fn asked_for(person: &Person) -> GetAddPackagesRequest {
    let passed = person.tap.passed();
    let asked = passed.iter().find(|it| it.outgoing.name == GetAddPackages::DESCRIPTION.name);
    GetAddPackagesRequest::decode(asked.unwrap().outgoing.call.body.as_slice()).unwrap()
}

/// Takes a package, and pays for it or not.
async fn taken(
    person: &Person,
    request: &GetAddPackagesRequest,
    is_paid: bool,
) -> Result<Vec<u8>, ErrorCode> {
    let domain = "alpha.test".parse().unwrap();
    let token = match is_paid {
        true => Some(person.client.take_token(&domain, Class::Standard).await.unwrap()),
        false => None,
    };
    let found = person.ask::<GetAddPackages>("alpha.test", request, token).await;
    let found = found.map_err(|error| error.code)?.packages;
    assert_eq!(found.len(), 1, "one for each client, whatever was taken before");
    Ok(found[0].encode().to_vec())
}

/// More AddPackages than anybody publishes, and than anybody gets Contact tokens.
const FETCHES: usize = 60;
/// Contact tokens that a client gets in a day (05).
const ALLOWANCE: usize = 50;
