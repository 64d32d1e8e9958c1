//! T4, a homeserver that lets everybody in: its countless users get no more than is for their domain.

use phoenix_core::{ErrorCode, store::MemoryStore, time::DAY, token::Class};
use phoenix_homeserver::auth::{self, RemoteAllowance};

use crate::site::{Person, Site, fqdn};

#[test]
fn t04_countless_users_of_one_homeserver_get_what_is_for_their_domain_which_grows_slowly() {
    let remote = RemoteAllowance { floor: FLOOR, ..RemoteAllowance::default() };
    let settings = auth::Settings { remote, ..auth::Settings::default() };
    let mut site = Site::with(&["alpha.test", "beta.test", "evil.test"], 4, |_, builder| {
        builder.store(MemoryStore::new()).auth_settings(settings.clone())
    });
    let sybils: Vec<_> =
        (0..SYBILS).map(|number| site.register(&format!("sybil {number}"), "evil.test")).collect();
    let (local, neighbour) = (site.register("alice", "alpha.test"), site.register("bob", "beta.test"));

    let mut days = Vec::new();
    for _ in 0..3 {
        days.push(sybils.iter().map(|sybil| bought(&mut site, sybil)).sum::<usize>());
        site.clock.leap_ms(DAY * 1_000);
    }
    let (local, neighbour) = (bought(&mut site, &local), bought(&mut site, &neighbour));

    println!(
        "{SYBILS} users of one domain got {days:?} tokens on its first days; a user of another domain {neighbour}, a local one {local}"
    );
    let most = [FLOOR, FLOOR * 13 / 10, FLOOR * 169 / 100].map(|most| usize::try_from(most).unwrap());
    for (day, (got, most)) in days.iter().zip(most).enumerate() {
        // Whole batches alone are given.
        assert!(*got <= most && *got + BATCH > most, "day {day}: {got} of {most}");
    }
    assert!(neighbour > 0, "others have their own");
    assert!(local > most[2], "and locals theirs");
}

/// How many Standard tokens of alpha's somebody gets until they get no more today, or have many.
pub(crate) fn bought(site: &mut Site, person: &Person) -> usize {
    let client = person.client.clone();
    site.run(async move {
        let (alpha, mut count) = (fqdn("alpha.test"), 0);
        while count < MANY {
            let before = client.tokens_left(&alpha, Class::Standard).await;
            match client.fetch_tokens(&alpha, Class::Standard).await {
                Ok(()) => count += client.tokens_left(&alpha, Class::Standard).await - before,
                Err(error) => {
                    assert_eq!(error.code(), Some(ErrorCode::RateLimited), "{error}");
                    break;
                }
            }
        }
        count
    })
}

const FLOOR: u64 = 100;
const SYBILS: usize = 9;
/// Tokens that a client asks for at once.
const BATCH: usize = 20;
/// As many as only locals get.
const MANY: usize = 300;
