//! Turns to look hosts up that strangers name (08, "Discovery"; 10, T6, T20).
//!
//! Who answers for a name may take its time, and anybody can name as many as they like: so many are looked up at once, and
//! of one zone so many, which leaves the rest to the others.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use phoenix_core::Fqdn;
use tokio::{sync::Notify, time::timeout};

/// Who answers for a host's name, roughly: its last two labels. Look-ups are short, so it matters little that some share
/// a zone who have nothing to do with each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Zone(String);

/// How many look-ups are under way.
pub(super) struct Turns {
    limit: usize,
    limit_per_zone: usize,
    /// No other zones are listed.
    under_way: Mutex<HashMap<Zone, usize>>,
    returned: Notify,
}

/// Leave to look one host up, given back when dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    zone: Zone,
}

impl Zone {
    /// The zone of a host.
    pub(crate) fn of(host: &Fqdn) -> Self {
        let mut labels = host.as_str().rsplitn(3, '.');
        let (last, before) = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
        Self(format!("{before}.{last}"))
    }
}

impl Turns {
    /// So many at once, and so many of one zone.
    pub(super) fn new(limit: usize, limit_per_zone: usize) -> Self {
        Self { limit, limit_per_zone, under_way: Mutex::default(), returned: Notify::new() }
    }

    /// Leave to look a host up; none where too many are being looked up, or too many of its zone.
    pub(super) fn take(&self, host: &Fqdn) -> Option<Turn<'_>> {
        let zone = Zone::of(host);
        let mut under_way = self.under_way();
        let all: usize = under_way.values().sum();
        let here = under_way.get(&zone).copied().unwrap_or_default();
        if all >= self.limit || here >= self.limit_per_zone {
            return None;
        }
        under_way.insert(zone.clone(), here.saturating_add(1));
        Some(Turn { turns: self, zone })
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

    fn under_way(&self) -> MutexGuard<'_, HashMap<Zone, usize>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut under_way = self.turns.under_way();
        if let Some(here) = under_way.get_mut(&self.zone) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                under_way.remove(&self.zone);
            }
        }
        drop(under_way);
        // All that wait: the first of them may be of a zone that has no more.
        self.turns.returned.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use phoenix_core::Fqdn;
    use tokio::time::timeout;

    use super::{Turns, Zone};

    #[test]
    fn t6_t20_names_of_one_zone_leave_look_ups_to_the_others_and_all_have_so_many() {
        let turns = Turns::new(32, 8);

        let first: Vec<_> = (0..100).map_while(|it| turns.take(&host(&format!("s{it}.a.test")))).collect();
        let others: Vec<_> = (0..100).map_while(|it| turns.take(&host(&format!("z{it}.test")))).collect();

        assert_eq!((first.len(), others.len()), (8, 24));
        drop((first, others));
        assert!(turns.take(&host("s.a.test")).is_some());
        assert!(turns.under_way().is_empty());
        assert_eq!(Zone::of(&host("a.b.c.test")), Zone::of(&host("c.test")));
        assert_ne!(Zone::of(&host("b.test")), Zone::of(&host("c.test")));
    }

    #[tokio::test]
    async fn who_waits_gets_the_turn_that_is_given_back_though_others_of_a_full_zone_wait_before() {
        let turns = Turns::new(2, 1);
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
