//! The federation policy of a homeserver: kept, changed while it runs, and the same on all replicas.

use futures::{executor::block_on, future::join};
use phoenix_core::{
    federation::{DomainPattern, FederationPolicy, Mode, Outbox, PolicyError, Standing},
    store::MemoryStore,
};

use super::{TestClock, home};
use crate::AdminError;

const BLOCKED: Standing = Standing::Blocked(Outbox::Hold);

#[test]
fn a_rule_is_in_force_at_once_on_other_replicas_when_they_look_and_after_a_restart() {
    let (store, clock) = (MemoryStore::new(), TestClock::default());
    let [one, two] = [(); 2].map(|()| home(&store, &clock, None).unwrap());
    let (beta, below) = (pattern("beta.test"), pattern("*.spam.test"));

    block_on(one.admin().set_rule(beta.clone(), BLOCKED)).unwrap();
    block_on(one.admin().set_rule(below.clone(), Standing::Paused)).unwrap();
    block_on(one.admin().set_mode(Mode::AllowList)).unwrap();

    let policy = FederationPolicy::default().in_mode(Mode::AllowList).with(beta.clone(), BLOCKED).unwrap();
    let policy = policy.with(below, Standing::Paused).unwrap();
    assert_eq!(one.admin().federation_policy(), policy);
    assert_eq!(two.admin().federation_policy(), FederationPolicy::default());
    block_on(two.inner.federating.refresh(&two.inner.shared)).unwrap();
    assert_eq!(two.admin().federation_policy(), policy);
    assert_eq!(home(&store, &clock, None).unwrap().admin().federation_policy(), policy);
    block_on(two.admin().remove_rule(&beta)).unwrap();
    block_on(one.inner.federating.refresh(&one.inner.shared)).unwrap();
    assert_eq!(one.admin().federation_policy(), policy.without(&beta));
}

#[test]
fn changes_of_two_operators_at_once_are_both_made() {
    let (store, clock) = (MemoryStore::new(), TestClock::default());
    let [one, two] = [(); 2].map(|()| home(&store, &clock, None).unwrap());
    let (first, second) = (one.admin(), two.admin());

    for number in 0..4 {
        let names = ["one", "two"].map(|who| pattern(&format!("{who}{number}.test")));
        let [mine, theirs] = names;
        let changes = join(first.set_rule(mine, BLOCKED), second.set_rule(theirs, BLOCKED));
        let (mine, theirs) = block_on(changes);
        mine.and(theirs).unwrap();
    }

    assert_eq!(home(&store, &clock, None).unwrap().admin().federation_policy().rules().count(), 8);
}

#[test]
fn t18_the_disk_does_not_tell_whom_an_operator_blocks() {
    let store = MemoryStore::new();
    let home = home(&store, &TestClock::default(), Some([1; 32])).unwrap();

    block_on(home.admin().set_rule(pattern("*.enemies.test"), BLOCKED)).unwrap();

    let rows: Vec<_> = store.dump().into_iter().flat_map(|(_, found)| found.rows).collect();
    assert!(!rows.iter().any(|(_, row)| row.windows(7).any(|part| part == b"enemies")));
}

#[test]
fn a_homeserver_is_in_no_rule_of_its_own() {
    let home = home(&MemoryStore::new(), &TestClock::default(), None).unwrap();

    let refused = block_on(home.admin().set_rule(pattern("alpha.test"), BLOCKED));

    assert_eq!(refused, Err(AdminError::Policy(PolicyError::Own)));
    assert_eq!(home.admin().federation_policy(), FederationPolicy::default());
}

fn pattern(text: &str) -> DomainPattern {
    text.parse().unwrap()
}
