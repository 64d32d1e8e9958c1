//! T5, many fresh domains: however many there are, new ones share what there is for them.

use phoenix_core::store::MemoryStore;
use phoenix_homeserver::auth;

use crate::{
    site::{Site, fqdn},
    t04::bought,
};

#[test]
fn t05_fresh_domains_share_one_pool_and_take_nothing_from_those_who_are_known() {
    let domains = [(fqdn("known.test"), 1_000)].into();
    let settings = auth::Settings { ceiling: CEILING, domains, ..auth::Settings::default() };
    let fresh: Vec<String> = (0..FRESH).map(|number| format!("fresh{number}.test")).collect();
    let names: Vec<&str> =
        ["alpha.test", "known.test"].into_iter().chain(fresh.iter().map(String::as_str)).collect();
    let mut site =
        Site::with(&names, 5, |_, builder| builder.store(MemoryStore::new()).auth_settings(settings.clone()));
    let mallories: Vec<_> = fresh.iter().map(|domain| site.register("mallory", domain)).collect();
    let (known, local) = (site.register("bob", "known.test"), site.register("alice", "alpha.test"));

    let got: Vec<_> = mallories.iter().map(|mallory| bought(&mut site, mallory)).collect();
    let (known, local) = (bought(&mut site, &known), bought(&mut site, &local));

    let (all, pool) = (got.iter().sum::<usize>(), CEILING as usize * 5 / 100);
    println!(
        "{FRESH} fresh domains got {got:?} tokens, {all} of {pool}; a known one {known}, a local user {local}"
    );
    assert!(all <= pool && all > 0, "{all} of {pool}");
    assert!(got.last() == Some(&0), "the last to come finds nothing left");
    assert_eq!(known, 100, "a tenth of what its domain was given");
    assert!(local >= 300);
}

/// All tokens of a day; newcomers get a twentieth of them.
const CEILING: u64 = 2_000;
const FRESH: usize = 7;
