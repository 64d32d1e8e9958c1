//! T26, stale remains of deleted users at other servers: what one has kept of somebody goes when the user does.

use phoenix_core::{port::Space, store::MemoryStore, time::DAY, token::Class};

use crate::site::{Fate, Person, Site, Wire, fqdn, password};

#[test]
fn t26_what_another_homeserver_keeps_of_a_user_goes_with_the_user_also_when_it_was_away_meanwhile() {
    // given two users of beta who took tokens at alpha
    let alpha = MemoryStore::new();
    let mut site = site_where_alpha_keeps_in(&alpha);
    let (bob, mallory) = (site.register("bob", "beta.test"), site.register("mallory", "beta.test"));
    took_tokens(&mut site, &bob);
    let of_bob = remains(&alpha);
    took_tokens(&mut site, &mallory);
    assert!(of_bob > 0 && remains(&alpha) == 2 * of_bob);

    // when one of them is deleted while alpha cannot be reached
    site.wire(Wire::Cut);
    let client = mallory.client.clone();
    site.run(async move { client.delete_user(&password("mallory")).await.unwrap() });
    rest(&mut site);
    assert_eq!(remains(&alpha), 2 * of_bob, "alpha has not heard");

    // then alpha forgets that one, and no other, once it is there again
    site.wire(Wire::Whole);
    rest(&mut site);
    assert_eq!(remains(&alpha), of_bob);
}

#[test]
fn t26_where_the_notice_is_lost_for_good_what_was_kept_goes_within_three_days() {
    // given a user of beta who took tokens at alpha
    let alpha = MemoryStore::new();
    let mut site = site_where_alpha_keeps_in(&alpha);
    let mallory = site.register("mallory", "beta.test");
    took_tokens(&mut site, &mallory);
    assert!(remains(&alpha) > 0);

    // when no notice of its deletion ever arrives
    site.intercept(|_, outgoing| if outgoing.name == "user_notice" { Fate::IsLost } else { Fate::Passes });
    let client = mallory.client.clone();
    site.run(async move { client.delete_user(&password("mallory")).await.unwrap() });
    rest(&mut site);
    site.clock.leap_ms(3 * DAY * 1_000);
    rest(&mut site);

    // then alpha keeps nothing, though beta is trying still
    assert!(site.calm().contains(&Fate::IsLost));
    assert_eq!(remains(&alpha), 0);
}

fn site_where_alpha_keeps_in(alpha: &MemoryStore) -> Site {
    let kept_by = alpha.clone();
    Site::with(&["alpha.test", "beta.test"], 26, move |domain, builder| {
        builder.store(if domain == "alpha.test" { kept_by.clone() } else { MemoryStore::new() })
    })
}

fn took_tokens(site: &mut Site, person: &Person) {
    let client = person.client.clone();
    site.run(async move { client.fetch_tokens(&fqdn("alpha.test"), Class::Standard).await.unwrap() });
}

/// Somewhat more than an hour, in which what is due is done.
fn rest(site: &mut Site) {
    let clock = site.clock.clone();
    site.run(async move { clock.sleep_ms(70 * 60 * 1_000).await });
}

/// How much an AS keeps of what it issued to others: the counts of a client, and what leads to them from a user.
fn remains(store: &MemoryStore) -> usize {
    let of_users = [9, 43];
    let dump = store.dump();
    dump.iter().filter(|(at, _)| at.space() == Space::As && of_users.contains(&at.key()[0])).count()
}
