//! What is counted for a remote domain in a day (05, "Issuance"): the tokens of a class that its clients get, and the
//! accounts that its users get here. New domains grow slowly, and share one pool.

use phoenix_core::{
    Fault, Fqdn, Reject,
    operation::{Change, Context, Local, Reading, Rows},
    port::{Alarm, RowKey, Wanted, Write},
    time::DAY,
    token::Class,
    wire::Wire,
};

use crate::{
    AuthService,
    allowance::{Counted, NEW_DAYS, Window},
    kinds,
    record::{self, Domain, Known},
};

/// One count of a domain, today.
pub(crate) struct DomainCount<'a> {
    counted: Counted,
    /// The class whose allowance is in force.
    class: Class,
    /// The row that counts for the domain, and the place that does for all new ones.
    row: RowKey,
    newcomers: Local,
    window: Window,
    cx: &'a Context<AuthService>,
}

/// What was counted so far.
pub(crate) struct SoFar {
    /// Since when the domain is known, and its own count.
    domain: Option<(Known, Option<Domain>)>,
    /// That of all new domains.
    newcomers: u64,
}

impl<'a> DomainCount<'a> {
    /// Counts tokens of a class.
    pub(crate) fn of_tokens(domain: &Fqdn, class: Class, cx: &'a Context<AuthService>) -> Self {
        let window = Window::of(class, cx.now);
        let newcomers = kinds::newcomers(class, window.number, cx);
        Self { counted: counted(domain, cx), class, row: class.encode(), newcomers, window, cx }
    }

    /// Counts new accounts. There are as many as Contact tokens, which reach as many strangers.
    pub(crate) fn of_accounts(domain: &Fqdn, cx: &'a Context<AuthService>) -> Self {
        let window = Window::of(Class::Contact, cx.now);
        let newcomers = kinds::newcomers_accounts(window.number, cx);
        let row = RowKey::from_static(b"accounts");
        Self { counted: counted(domain, cx), class: Class::Contact, row, newcomers, window, cx }
    }

    /// Where it is.
    pub(crate) fn readings(&self) -> [Reading; 2] {
        let rows = vec![record::ROW, self.row.clone()];
        [
            Reading::change(self.at(), Wanted::Keys(rows)),
            Reading::change(self.newcomers.clone(), Wanted::Keys(vec![record::ROW])),
        ]
    }

    /// What is there, from this place on.
    pub(crate) fn found(&self, found: &Rows, first: usize) -> Result<SoFar, Fault> {
        let known = record::found(found, first, &record::ROW)?;
        let own = record::found(found, first, &self.row)?;
        let newcomers = record::found(found, first.saturating_add(1), &record::ROW)?.unwrap_or(0);
        Ok(SoFar { domain: known.map(|known| (known, own)), newcomers })
    }

    /// What one client of the domain gets at most.
    pub(crate) fn of_client(&self, so_far: &SoFar) -> u64 {
        self.cx.settings.remote.of_client(self.allowance(&self.today(so_far).1))
    }

    /// What is written where so many more are within the domain's allowance, and within that of new ones where it is new.
    ///
    /// # Errors
    /// [`Reject::RateLimited`], with the seconds until the day ends, where they are not.
    pub(crate) fn counting(&self, so_far: &SoFar, more: u64) -> Result<Vec<Change>, Reject> {
        let (known, today) = self.today(so_far);
        let within = |used, allowance| self.window.within(used, more, allowance, self.cx.now);
        let used = within(today.used, self.allowance(&today))?;
        let writes = vec![
            Write::Put(record::ROW, record::encode(&known)),
            Write::Put(self.row.clone(), record::encode(&Domain { used, ..today })),
        ];
        let forgotten = self.window.forgotten().plus_secs((NEW_DAYS - 1) * DAY);
        let mut changes = vec![Change { at: self.at(), writes, alarm: Alarm::At(forgotten) }];
        // What the operator has set makes a domain no newcomer.
        if known.is_new(self.window.number) && self.counted.set.is_none() {
            let newcomers = within(so_far.newcomers, self.cx.settings.of_newcomers(self.class))?;
            changes.push(self.window.count(self.newcomers.clone(), newcomers));
        }
        Ok(changes)
    }

    fn at(&self) -> Local {
        kinds::domain(&self.counted.name, self.cx)
    }

    /// The domain's records as of today. One that was unused for 30 d begins again.
    fn today(&self, so_far: &SoFar) -> (Known, Domain) {
        let day = self.window.number;
        let domain = so_far.domain.and_then(|(known, own)| Some((known.on(day)?, own)));
        let (known, own) = domain.unwrap_or((Known::new(day), None));
        let own = own.filter(|own| own.known_since == known.since);
        let own = own.unwrap_or(Domain::new(known.since, day));
        (known, own.on(day, self.allowance(&own)))
    }

    fn allowance(&self, domain: &Domain) -> u64 {
        self.cx.settings.of_domain(&self.counted, self.class, domain.good_days)
    }
}

/// How a domain is counted.
fn counted(domain: &Fqdn, cx: &Context<AuthService>) -> Counted {
    cx.settings.counted(domain, &cx.federation)
}
