//! Turns to ask hosts that strangers name (08, "Discovery"; 10, T6, T20).
//!
//! Who answers for a name may take its time, and anybody can name as many as they like: so many are asked at once, and
//! of one owner so many, which leaves the rest to the others.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use phoenix_core::Fqdn;
use tokio::{sync::Notify, time::timeout};

/// Who answers for a host's name, roughly: its last two labels. Look-ups are short, so it matters little that some share
/// a zone who have nothing to do with each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Zone(String);

/// How many hosts may be looked up at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    /// In all,
    pub(crate) all: usize,
    /// of one zone,
    pub(crate) of_zone: usize,
    /// and of one name within a zone, which has the last three labels: where people register names below a suffix of two,
    /// as co.uk, that is what one of them has.
    pub(crate) of_name: usize,
}

/// The look-ups that are under way.
pub(crate) struct Turns {
    quota: Quota,
    /// How many, by their last two labels and by their last three; none that has none is listed.
    under_way: Mutex<Counts>,
    returned: Notify,
}

#[derive(Default)]
struct Counts {
    zones: HashMap<Zone, usize>,
    names: HashMap<String, usize>,
}

/// Leave to look one host up, given back when dropped.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    zone: Zone,
    name: String,
}

impl Zone {
    /// The zone of a host.
    pub(crate) fn of(host: &Fqdn) -> Self {
        Self(host.last_labels(2).to_owned())
    }
}

impl Turns {
    /// None is under way.
    pub(crate) fn new(quota: Quota) -> Self {
        Self { quota, under_way: Mutex::default(), returned: Notify::new() }
    }

    /// Leave to look a host up; none where too many are being looked up, or too many of whom it belongs to.
    pub(crate) fn take(&self, host: &Fqdn) -> Option<Turn<'_>> {
        let (zone, name) = (Zone::of(host), host.last_labels(3).to_owned());
        let mut counts = self.under_way();
        let all: usize = counts.zones.values().sum();
        let of_zone = counts.zones.get(&zone).copied().unwrap_or_default();
        let of_name = counts.names.get(&name).copied().unwrap_or_default();
        let Quota { all: most, of_zone: most_of_zone, of_name: most_of_name } = self.quota;
        if all >= most || of_zone >= most_of_zone || of_name >= most_of_name {
            return None;
        }
        counts.zones.insert(zone.clone(), of_zone.saturating_add(1));
        counts.names.insert(name.clone(), of_name.saturating_add(1));
        Some(Turn { turns: self, zone, name })
    }

    /// The same for who can wait so long.
    pub(super) async fn wait(&self, host: &Fqdn, time: Duration) -> Option<Turn<'_>> {
        let taking = async {
            loop {
                // Before it is tried, so that one that is given back meanwhile is noticed.
                let returned = self.returned.notified();
                if let Some(turn) = self.take(host) {
                    return turn;
                }
                returned.await;
            }
        };
        timeout(time, taking).await.ok()
    }

    fn under_way(&self) -> MutexGuard<'_, Counts> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut counts = self.turns.under_way();
        lessen(&mut counts.zones, &self.zone);
        lessen(&mut counts.names, &self.name);
        drop(counts);
        // All that wait: the first of them may be of a zone that has no more.
        self.turns.returned.notify_waiters();
    }
}

fn lessen<T: Eq + Hash>(counts: &mut HashMap<T, usize>, key: &T) {
    let Some(count) = counts.get_mut(key) else { return };
    *count = count.saturating_sub(1);
    if *count == 0 {
        counts.remove(key);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use phoenix_core::Fqdn;
    use tokio::time::timeout;

    use super::{Quota, Turn, Turns, Zone};

    const QUOTA: Quota = Quota { all: 32, of_zone: 16, of_name: 4 };

    #[test]
    fn t6_t20_hosts_of_one_owner_leave_look_ups_to_the_others_and_all_have_so_many() {
        let turns = Turns::new(QUOTA);
        let take = |name: fn(usize) -> String| -> Vec<Turn<'_>> {
            (0..100).map_while(|it| turns.take(&host(&name(it)))).collect()
        };

        let of_name = take(|it| format!("s{it}.evil.co.test"));
        let of_zone = take(|it| format!("s.evil{it}.co.test"));
        let others = take(|it| format!("z{it}.test"));

        assert_eq!((of_name.len(), of_zone.len(), others.len()), (4, 12, 16));
        drop((of_name, of_zone, others));
        assert!(turns.take(&host("s.a.test")).is_some());
        let counts = turns.under_way();
        assert!(counts.zones.is_empty() && counts.names.is_empty());
    }

    #[test]
    fn who_answers_for_a_name_is_told_by_its_last_labels() {
        let name = host("a.b.c.test");

        assert_eq!(
            [1, 2, 3, 4, 5].map(|it| name.last_labels(it)),
            ["test", "c.test", "b.c.test", "a.b.c.test", "a.b.c.test"]
        );
        assert_eq!(Zone::of(&name), Zone::of(&host("c.test")));
        assert_ne!(Zone::of(&host("b.test")), Zone::of(&host("c.test")));
    }

    #[tokio::test]
    async fn who_waits_gets_the_turn_that_is_given_back_though_others_of_a_full_zone_wait_before() {
        let turns = Turns::new(Quota { all: 2, of_zone: 1, of_name: 1 });
        let (full, turn) = (turns.take(&host("a.test")).unwrap(), turns.take(&host("b.test")).unwrap());
        let [of_full, name] = [host("s.a.test"), host("c.test")];
        let (mut before, mut waiting) =
            (Box::pin(turns.wait(&of_full, LONG)), Box::pin(turns.wait(&name, LONG)));
        assert!(timeout(SOON, &mut before).await.is_err());
        assert!(timeout(SOON, &mut waiting).await.is_err());

        drop(turn);

        assert!(timeout(LONG, waiting).await.unwrap().is_some());
        assert!(timeout(SOON, &mut before).await.is_err());
        assert!(turns.wait(&of_full, SOON).await.is_none(), "nobody waits for ever");
        drop(full);
        assert!(timeout(LONG, before).await.unwrap().is_some());
    }

    fn host(name: &str) -> Fqdn {
        name.parse().unwrap()
    }

    const SOON: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);
}
