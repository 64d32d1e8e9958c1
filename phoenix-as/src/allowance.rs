//! How many tokens who gets (05, "Issuance").

use phoenix_core::{
    Fqdn, Reject, Timestamp,
    federation::Federation,
    operation::{Change, Local},
    port::{Alarm, Write},
    time::{DAY, HOUR},
    token::Class,
};

use crate::{
    record::{self, Domain, Known},
    settings::{Allowances, AuthSettings, RemoteAllowance},
};

/// The time in which an allowance holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Counted from the Unix epoch.
    pub(crate) number: u64,
    /// Its first moment that is not in it.
    pub(crate) ends: Timestamp,
}

impl Window {
    /// The window of a class that a time lies in: a day, or 30 d for aliases.
    pub(crate) fn of(class: Class, now: Timestamp) -> Self {
        let seconds = match class {
            Class::Standard | Class::Home | Class::Contact => DAY,
            Class::Alias => 30 * DAY,
        };
        let number = now.as_secs().checked_div(seconds).unwrap_or(0);
        let ends = Timestamp::from_secs(number.saturating_add(1).saturating_mul(seconds));
        Self { number, ends }
    }

    /// When what was counted in it may be forgotten: an hour after it, so that no replica whose clock is late, or was
    /// put back, counts from nothing again.
    pub(crate) fn forgotten(&self) -> Timestamp {
        self.ends.plus_secs(CLOCK_MARGIN)
    }

    /// What is used with so many more, if that is within an allowance.
    ///
    /// # Errors
    /// [`Window::refusal`] where it is not.
    pub(crate) fn within(&self, used: u64, more: u64, allowance: u64, now: Timestamp) -> Result<u64, Reject> {
        let used = used.saturating_add(more);
        if used <= allowance { Ok(used) } else { Err(self.refusal(now)) }
    }

    /// What sets a count of its own, which is forgotten after the window.
    pub(crate) fn count(&self, at: Local, count: u64) -> Change {
        let writes = vec![Write::Put(record::ROW, record::encode(&count))];
        Change { at, writes, alarm: Alarm::At(self.forgotten()) }
    }

    /// What one gets who has used up an allowance of this window.
    pub(crate) fn refusal(&self, now: Timestamp) -> Reject {
        let seconds = self.ends.as_secs().saturating_sub(now.as_secs());
        Reject::RateLimited(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

impl RemoteAllowance {
    /// What a domain gets of a class in a day, after so many days on which it used at least half.
    pub(crate) fn of_domain(&self, class: Class, good_days: u32, allowances: &Allowances) -> u64 {
        let mut standard = self.floor.min(self.ceiling);
        for _ in 0..good_days {
            let grown = standard.saturating_mul(self.growth_percent) / 100;
            if grown <= standard || grown >= self.ceiling {
                standard = grown.clamp(standard, self.ceiling);
                break;
            }
            standard = grown;
        }
        in_proportion(standard, class, allowances)
    }

    /// What one client of such a domain gets in a day, beside what every client gets.
    pub(crate) fn of_client(&self, of_domain: u64) -> u64 {
        self.client_floor.max(of_domain / 10)
    }
}

impl AuthSettings {
    /// What all clients get of a class in its window.
    pub(crate) fn of_all(&self, class: Class) -> u64 {
        in_proportion(self.ceiling, class, &self.allowances)
    }

    /// What all new domains get of a class in a day.
    pub(crate) fn of_newcomers(&self, class: Class) -> u64 {
        let standard = self.ceiling.saturating_mul(self.remote.newcomers_percent) / 100;
        in_proportion(standard, class, &self.allowances)
    }

    /// What a domain gets of a class in a day: what the operator has set, or what its use has made of it.
    pub(crate) fn of_domain(&self, domain: &Counted, class: Class, good_days: u32) -> u64 {
        match domain.set {
            Some(standard) => in_proportion(standard, class, &self.allowances),
            None => self.remote.of_domain(class, good_days, &self.allowances),
        }
    }

    /// How a domain is counted: as the operator's rules say for it or for its registrable domain, or as the latter.
    pub(crate) fn counted(&self, name: &Fqdn, federation: &Federation) -> Counted {
        let registrable = || self.suffixes.as_ref().map(|suffixes| suffixes.registrable(name));
        let set = |name: &Fqdn| federation.token_allowance(name);
        match set(name).or_else(|| set(&registrable()?)) {
            Some(set) => Counted { name: set.counted_as, set: Some(set.standard) },
            None => Counted { name: registrable().unwrap_or_else(|| name.clone()), set: None },
        }
    }
}

/// A remote domain, as its clients' tokens are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The name under which they are.
    pub(crate) name: Fqdn,
    /// The Standard tokens a day that the operator has set; then the domain is no newcomer.
    pub(crate) set: Option<u64>,
}

impl Known {
    /// A domain that is seen for the first time.
    pub(crate) const fn new(day: u64) -> Self {
        Self { since: day, seen: day }
    }

    /// The record on a day; `None` where the domain was unused for so long that it starts again.
    pub(crate) fn on(self, day: u64) -> Option<Self> {
        let is_remembered = day.saturating_sub(self.seen) < NEW_DAYS;
        is_remembered.then(|| Self { seen: self.seen.max(day), ..self })
    }

    /// Whether the domain is known for less than 30 d.
    pub(crate) const fn is_new(&self, day: u64) -> bool {
        day.saturating_sub(self.since) < NEW_DAYS
    }
}

impl Domain {
    /// A domain that was issued nothing of the class.
    pub(crate) const fn new(known_since: u64, day: u64) -> Self {
        Self { known_since, day, used: 0, good_days: 0 }
    }

    /// The record on a day: an earlier day is closed, and counts where at least half of its allowance was used.
    pub(crate) fn on(self, day: u64, allowance_then: u64) -> Self {
        if day <= self.day {
            return self;
        }
        let was_good = self.used.saturating_mul(2) >= allowance_then && self.used > 0;
        Self { day, used: 0, good_days: self.good_days.saturating_add(u32::from(was_good)), ..self }
    }
}

/// Of other classes in proportion to what one client gets of each; at least one token, unless there is to be none.
fn in_proportion(standard: u64, class: Class, allowances: &Allowances) -> u64 {
    if standard == 0 {
        return 0;
    }
    let of_class = u64::from(allowances.of(class));
    let of_standard = u64::from(allowances.of(Class::Standard)).max(1);
    standard.saturating_mul(of_class).checked_div(of_standard).unwrap_or(0).max(1)
}

/// How far the clocks of replicas may differ before a count is forgotten too early.
pub(crate) const CLOCK_MARGIN: u64 = HOUR;
/// Days for which a domain is new; after as many without use it starts again.
pub(crate) const NEW_DAYS: u64 = 30;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use phoenix_core::{
        Fqdn, Reject, Timestamp,
        federation::{Federation, FederationPolicy, Standing, Terms},
        time::DAY,
        token::Class,
    };

    use super::{Counted, Window};
    use crate::{
        record::{Domain, Known},
        settings::{Allowances, AuthSettings, RemoteAllowance},
    };

    const ALLOWANCES: Allowances = Allowances { standard: 1_000, home: 100, contact: 50, alias: 5 };

    #[test]
    fn a_window_ends_with_its_day_or_its_thirty_days() {
        let now = Timestamp::from_secs(30 * DAY * 600 + 10 * DAY + 5);

        let (day, month) = (Window::of(Class::Standard, now), Window::of(Class::Alias, now));

        assert_eq!(day.ends, Timestamp::from_secs(30 * DAY * 600 + 11 * DAY));
        assert_eq!(month.ends, Timestamp::from_secs(30 * DAY * 601));
        assert_eq!(day.refusal(now), Reject::RateLimited(86_395));
        assert_ne!(day.number, Window::of(Class::Standard, day.ends).number);
    }

    #[test]
    fn a_domains_allowance_grows_with_its_good_days_up_to_the_ceiling() {
        let remote = RemoteAllowance::default();
        let standard = |days| remote.of_domain(Class::Standard, days, &ALLOWANCES);

        assert_eq!([standard(0), standard(1), standard(2)], [1_000, 1_300, 1_690]);
        assert_eq!(standard(27), 1_000_000);
        assert_eq!(standard(u32::MAX), 1_000_000);
        assert_eq!(remote.of_domain(Class::Contact, 0, &ALLOWANCES), 50);
        assert_eq!((remote.of_client(1_000), remote.of_client(50)), (100, 20));
    }

    #[test]
    fn what_all_get_of_a_class_is_in_proportion_and_newcomers_get_a_share_of_it() {
        let settings = AuthSettings { ceiling: 100_000, ..AuthSettings::default() };

        let all = Class::ALL.map(|class| settings.of_all(class));

        assert_eq!(all, Class::ALL.map(|class| 100 * u64::from(ALLOWANCES.of(class))));
        assert_eq!(settings.of_newcomers(Class::Standard), 5_000);
        assert_eq!(settings.of_newcomers(Class::Contact), 250);
        assert_eq!(AuthSettings { ceiling: 0, ..settings }.of_all(Class::Alias), 0);
    }

    #[test]
    fn what_an_operator_has_set_for_a_domain_holds_whatever_its_use() {
        let federation = allowing(&[("beta.test", 4_000), ("gamma.test", 0)]);
        let settings = AuthSettings::default();
        let of = |domain, class, days| {
            settings.of_domain(&settings.counted(&name(domain), &federation), class, days)
        };

        assert_eq!([of("beta.test", Class::Standard, 0), of("beta.test", Class::Contact, 99)], [4_000, 200]);
        assert_eq!([of("gamma.test", Class::Standard, 9), of("gamma.test", Class::Contact, 0)], [0, 0]);
        assert_eq!(of("delta.test", Class::Standard, 1), 1_300);
    }

    #[test]
    fn a_domain_is_counted_alone_where_there_is_no_list_or_the_operator_has_set_its_allowance() {
        let federation = allowing(&[("set.beta.test", 4_000)]);
        let (without, with) = (AuthSettings::default(), listed());
        let alone = |name: Fqdn, set| Counted { name, set };

        assert_eq!(without.counted(&name("a.beta.test"), &federation), alone(name("a.beta.test"), None));
        assert_eq!(with.counted(&name("a.beta.test"), &federation), alone(name("beta.test"), None));
        assert_eq!(with.counted(&name("beta.test"), &federation), alone(name("beta.test"), None));
        let set = alone(name("set.beta.test"), Some(4_000));
        assert_eq!(with.counted(&name("set.beta.test"), &federation), set);
    }

    #[test]
    fn what_is_set_for_a_registrable_domain_or_for_all_below_one_is_shared() {
        let federation = allowing(&[("beta.test", 0), ("set.beta.test", 4_000), ("*.gamma.test", 5)]);
        let counted = |settings: &AuthSettings, domain| {
            let counted = settings.counted(&name(domain), &federation);
            (counted.name.to_string(), counted.set)
        };

        let with = listed();
        assert_eq!(counted(&with, "a.beta.test"), ("beta.test".to_owned(), Some(0)));
        assert_eq!(counted(&with, "beta.test"), ("beta.test".to_owned(), Some(0)));
        assert_eq!(counted(&with, "set.beta.test"), ("set.beta.test".to_owned(), Some(4_000)));
        assert_eq!(counted(&with, "c.test"), ("c.test".to_owned(), None));
        for settings in [with, AuthSettings::default()] {
            assert_eq!(counted(&settings, "a.gamma.test"), ("gamma.test".to_owned(), Some(5)));
        }
    }

    #[test]
    fn a_day_counts_where_half_of_its_allowance_was_used() {
        let domain = Domain { used: 500, ..Domain::new(10, 10) };

        assert_eq!(domain.on(10, 1_000), domain);
        assert_eq!(domain.on(12, 1_000), Domain { known_since: 10, day: 12, used: 0, good_days: 1 });
        assert_eq!(domain.on(12, 1_001).good_days, 0);
    }

    #[test]
    fn a_domain_is_new_for_thirty_days_and_starts_again_after_as_many_without_use() {
        let known = Known::new(10);

        assert!(known.is_new(39) && !known.is_new(40));
        assert_eq!(known.on(39), Some(Known { since: 10, seen: 39 }));
        assert_eq!(known.on(40), None);
        assert_eq!(known.on(9), Some(known), "a clock that was put back");
    }

    fn name(name: &str) -> Fqdn {
        name.parse().unwrap()
    }

    /// With a list on which `test` is a public suffix.
    fn listed() -> AuthSettings {
        let list = "// ===BEGIN ICANN DOMAINS===\ntest\n// ===END ICANN DOMAINS===\n";
        AuthSettings { suffixes: Some(list.parse().unwrap()), ..AuthSettings::default() }
    }

    /// An operator that lets the clients of these domains have so many tokens.
    fn allowing(domains: &[(&str, u64)]) -> Federation {
        let rule = |policy: FederationPolicy, (pattern, tokens): &(&str, u64)| {
            let terms = Terms { tokens: Some(*tokens), ..Terms::default() };
            policy.with(pattern.parse().unwrap(), Standing::Allowed(terms)).unwrap()
        };
        Federation::new(name("alpha.test"), domains.iter().fold(FederationPolicy::default(), rule))
    }
}
