//! Friendship tokens: who has one may fetch AddPackages (06).

use phoenix_core::{
    QsUserId, Reject,
    api::queue::Route,
    crypto::{AtRestKey, Chance},
    wire::{Opaque, Secret, Wire},
};

/// The route to a record: its id, sealed, and never the same twice, so that no index of tokens is needed and two
/// tokens cannot be compared.
///
/// # Errors
/// None in practice: the sealed id is shorter than a route may be.
pub(crate) fn route(key: &AtRestKey, user: &QsUserId, chance: &mut Chance) -> Result<Route, Reject> {
    let sealed = key.derive(ROUTE).seal(ROUTE.as_bytes(), user.as_bytes(), chance);
    Ok(Route(Opaque::new(sealed)?))
}

/// The record that a route leads to.
///
/// # Errors
/// [`Reject::NotFound`] where this server did not make it.
pub(crate) fn follow(key: &AtRestKey, Route(sealed): &Route) -> Result<QsUserId, Reject> {
    let opened = key.derive(ROUTE).open(ROUTE.as_bytes(), sealed).map_err(|_| Reject::NotFound)?;
    QsUserId::decode(&opened).map_err(|_| Reject::NotFound)
}

/// What the record keeps of the secret.
pub(crate) fn hash(key: &AtRestKey, user: &QsUserId, secret: &Secret<32>) -> [u8; 32] {
    let input = Secret::new(key.prf("friendship", secret.expose()));
    key.prf("friendship of", &(*user, input).encode())
}

/// Whether the secret is the one whose hash the record keeps; takes the same time either way.
pub(crate) fn is_of(key: &AtRestKey, user: &QsUserId, secret: &Secret<32>, kept: [u8; 32]) -> bool {
    Secret::new(hash(key, user, secret)) == Secret::new(kept)
}

const ROUTE: &str = "friendship route";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use phoenix_core::{
        QsUserId, Reject,
        crypto::{AtRestKey, Chance},
        wire::Secret,
    };

    use super::{follow, hash, is_of, route};

    #[test]
    fn a_route_leads_to_its_record_and_is_never_the_same_twice() {
        let mut chance = Chance::from_seed([1; 32]);
        let key = AtRestKey::generate(&mut chance);
        let user = QsUserId([7; 16]);

        let routes = [route(&key, &user, &mut chance).unwrap(), route(&key, &user, &mut chance).unwrap()];

        assert_ne!(routes[0], routes[1]);
        assert_eq!(routes.map(|route| follow(&key, &route)), [Ok(user), Ok(user)]);
        let other = AtRestKey::generate(&mut chance);
        let foreign = route(&other, &user, &mut chance).unwrap();
        assert_eq!(follow(&key, &foreign), Err(Reject::NotFound));
    }

    #[test]
    fn a_secret_is_known_by_its_hash_for_its_own_record_only() {
        let key = AtRestKey::generate(&mut Chance::from_seed([1; 32]));
        let (user, secret) = (QsUserId([7; 16]), Secret::new([8; 32]));
        let kept = hash(&key, &user, &secret);

        assert!(is_of(&key, &user, &secret, kept));
        assert!(!is_of(&key, &user, &Secret::new([9; 32]), kept));
        assert!(!is_of(&key, &QsUserId([8; 16]), &secret, kept));
    }
}
