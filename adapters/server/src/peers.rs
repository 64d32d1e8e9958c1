//! The operator's federation policy, and what waits for other homeservers: what is asked of a running server over its
//! admin socket, or of its database.

mod waiting;

use std::{fmt::Write as _, path::PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use phoenix_homeserver::{
    Admin, Fqdn,
    federation::{DomainPattern, FederationPolicy, Mode, Outbox, Standing, Terms},
};
use serde::{Deserialize, Serialize};

use self::waiting::Waiting;
use crate::{admin::Database, admin_socket::Connection};

/// What `peers` is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The socket of the running server, as it was told it: then what is changed is in force at once. Without it the
    /// database is changed, which a server that runs on it takes over within a minute.
    #[arg(long, global = true, value_name = "PATH")]
    admin_socket: Option<PathBuf>,
    #[command(flatten)]
    database: Database,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Says with which homeservers this one deals, and how.
    Show {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Says what waits for which homeservers, how sending it goes, and what was set aside.
    Waiting {
        /// One of them; all for which something waits where none is named.
        domain: Option<Fqdn>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Says how those are dealt with that no rule names.
    Mode {
        /// `open`: they are allowed. `allow-list`: they are blocked.
        mode: ModeName,
    },
    /// Deals with homeservers, in place of another rule of the same pattern.
    Allow {
        #[command(flatten)]
        patterns: Patterns,
        /// Standard tokens a day for all their clients, other classes in proportion; those of a wildcard share them.
        #[arg(long)]
        tokens: Option<u64>,
        /// Deliveries a second that are taken of each, every recipient counted.
        #[arg(long)]
        deliveries_per_s: Option<u32>,
        /// Bytes of deliveries a second that are taken of each.
        #[arg(long)]
        bytes_per_s: Option<u32>,
    },
    /// Has nothing to do with homeservers; members whose queues are there are taken out of the groups here.
    Block {
        #[command(flatten)]
        patterns: Patterns,
        /// Lets go of what waits for them, rather than keep it for seven days in case that the block ends.
        #[arg(long)]
        drop: bool,
    },
    /// Lets nothing pass to or from homeservers for a while; both sides keep what they have.
    Pause(Patterns),
    /// Takes rules back.
    Remove(Patterns),
}

#[derive(Debug, Args)]
struct Patterns {
    /// Domains, such as chat.example.org, or all below one, such as *.example.org.
    #[arg(required = true, value_name = "PATTERN", value_parser = pattern)]
    patterns: Vec<DomainPattern>,
}

/// A mode, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ModeName {
    Open,
    AllowList,
}

/// One thing that an operator asks for, as it goes over the socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Order {
    Show {},
    /// Those behind one, in order.
    Waiting {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    WaitingFor {
        domain: String,
    },
    Mode {
        mode: ModeName,
    },
    Set {
        rule: Rule,
    },
    Remove {
        pattern: String,
    },
}

/// A rule, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pattern: String,
    standing: StandingName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deliveries_per_s: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes_per_s: Option<u32>,
}

/// A standing, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StandingName {
    Allowed,
    Paused,
    Blocked,
    BlockedAndDropped,
}

/// The policy, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    mode: ModeName,
    rules: Vec<Rule>,
}

/// What came of an order, as it goes over the socket.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// It was carried out.
    Done,
    /// What was to be shown.
    Policy(Written),
    /// What waits for homeservers.
    Waiting(Vec<Waiting>),
    /// It was not carried out, and why.
    Error(String),
}

/// Who carries orders out.
enum Office {
    Server(Connection),
    Database(Admin),
}

/// Does what the operator asks for.
pub(crate) async fn run(options: Options) -> anyhow::Result<String> {
    let mut office = match &options.admin_socket {
        Some(path) => Office::Server(Connection::open(path).await?),
        None => Office::Database(options.database.open().await?.admin()),
    };
    if let Command::Waiting { domain, json } = &options.command {
        let waiting = office.waiting(domain.as_ref()).await?;
        return if *json { Ok(serde_json::to_string(&waiting)?) } else { waiting::said(&waiting) };
    }
    for order in options.command.orders() {
        office.give(order).await?;
    }
    let Outcome::Policy(policy) = office.give(Order::Show {}).await? else {
        bail!("the server does not say what its policy is")
    };
    let is_json = matches!(options.command, Command::Show { json: true });
    if is_json { Ok(serde_json::to_string(&policy)?) } else { policy.said() }
}

impl Office {
    /// Has an order carried out.
    async fn give(&mut self, order: Order) -> anyhow::Result<Outcome> {
        match self {
            Self::Server(connection) => connection.give(&order).await,
            Self::Database(admin) => order.carry_out(admin).await,
        }
    }

    /// What waits for one homeserver, or for each.
    async fn waiting(&mut self, domain: Option<&Fqdn>) -> anyhow::Result<Vec<Waiting>> {
        if let Some(domain) = domain {
            return self.some_waiting(Order::WaitingFor { domain: domain.to_string() }).await;
        }
        let mut all: Vec<Waiting> = Vec::new();
        while all.len() < MAX_SHOWN {
            let after = all.last().map(|it| it.domain().to_owned());
            let some = self.some_waiting(Order::Waiting { after }).await?;
            if some.is_empty() {
                break;
            }
            all.extend(some);
        }
        Ok(all)
    }

    async fn some_waiting(&mut self, order: Order) -> anyhow::Result<Vec<Waiting>> {
        let Outcome::Waiting(some) = self.give(order).await? else {
            bail!("the server does not say what waits")
        };
        Ok(some)
    }
}

impl Command {
    fn orders(&self) -> Vec<Order> {
        let set = |patterns: &Patterns, standing| {
            let order = |it: &DomainPattern| Order::Set { rule: Rule::new(it, standing) };
            patterns.patterns.iter().map(order).collect()
        };
        match self {
            Self::Show { .. } | Self::Waiting { .. } => Vec::new(),
            Self::Mode { mode } => vec![Order::Mode { mode: *mode }],
            Self::Allow { patterns, tokens, deliveries_per_s, bytes_per_s } => {
                let (tokens, deliveries_per_s, bytes_per_s) = (*tokens, *deliveries_per_s, *bytes_per_s);
                set(patterns, Standing::Allowed(Terms { tokens, deliveries_per_s, bytes_per_s }))
            }
            Self::Block { patterns, drop } => {
                set(patterns, Standing::Blocked(if *drop { Outbox::Drop } else { Outbox::Hold }))
            }
            Self::Pause(patterns) => set(patterns, Standing::Paused),
            Self::Remove(patterns) => {
                patterns.patterns.iter().map(|it| Order::Remove { pattern: it.to_string() }).collect()
            }
        }
    }
}

impl Order {
    /// Carries it out.
    ///
    /// # Errors
    /// Where it cannot be, in words for the operator.
    pub(crate) async fn carry_out(self, admin: &Admin) -> anyhow::Result<Outcome> {
        match self {
            Self::Show {} => return Ok(Outcome::Policy(Written::from(&admin.federation_policy()))),
            Self::Waiting { after } => {
                let after = after.as_deref().map(domain).transpose()?;
                let found = admin.survey(after.as_ref()).await?;
                return Ok(Outcome::Waiting(found.iter().map(Waiting::from).collect()));
            }
            Self::WaitingFor { domain: text } => {
                let found = admin.survey_of(&domain(&text)?).await?;
                return Ok(Outcome::Waiting(vec![Waiting::from(&found)]));
            }
            Self::Mode { mode } => admin.set_mode(mode.into()).await?,
            Self::Set { rule } => admin.set_rule(pattern(&rule.pattern)?, rule.standing()?).await?,
            Self::Remove { pattern: text } => admin.remove_rule(&pattern(&text)?).await?,
        }
        Ok(Outcome::Done)
    }
}

impl Rule {
    fn new(pattern: &DomainPattern, standing: Standing) -> Self {
        let (name, terms) = match standing {
            Standing::Allowed(terms) => (StandingName::Allowed, terms),
            Standing::Paused => (StandingName::Paused, Terms::default()),
            Standing::Blocked(Outbox::Hold) => (StandingName::Blocked, Terms::default()),
            Standing::Blocked(Outbox::Drop) => (StandingName::BlockedAndDropped, Terms::default()),
        };
        let Terms { tokens, deliveries_per_s, bytes_per_s } = terms;
        Self { pattern: pattern.to_string(), standing: name, tokens, deliveries_per_s, bytes_per_s }
    }

    fn standing(&self) -> anyhow::Result<Standing> {
        let Self { tokens, deliveries_per_s, bytes_per_s, .. } = *self;
        let terms = Terms { tokens, deliveries_per_s, bytes_per_s };
        let standing = match self.standing {
            StandingName::Allowed => return Ok(Standing::Allowed(terms)),
            StandingName::Paused => Standing::Paused,
            StandingName::Blocked => Standing::Blocked(Outbox::Hold),
            StandingName::BlockedAndDropped => Standing::Blocked(Outbox::Drop),
        };
        if terms != Terms::default() {
            bail!("{}: terms are for those who are allowed", self.pattern);
        }
        Ok(standing)
    }

    /// In words, for a person.
    fn said(&self) -> anyhow::Result<String> {
        let Self { pattern, standing, tokens, deliveries_per_s, bytes_per_s } = self;
        let mut said = match standing {
            StandingName::Allowed => format!("{pattern}: allowed"),
            StandingName::Paused => format!("{pattern}: paused"),
            StandingName::Blocked => format!("{pattern}: blocked, what waits is held"),
            StandingName::BlockedAndDropped => format!("{pattern}: blocked, what waits is dropped"),
        };
        let terms = [
            (tokens.as_ref().map(u64::to_string), "tokens a day"),
            (deliveries_per_s.as_ref().map(u32::to_string), "deliveries a second"),
            (bytes_per_s.as_ref().map(u32::to_string), "bytes a second"),
        ];
        for (amount, of_what) in terms {
            if let Some(amount) = amount {
                write!(said, ", {amount} {of_what}")?;
            }
        }
        Ok(said)
    }
}

impl Written {
    /// In words, for a person.
    fn said(&self) -> anyhow::Result<String> {
        let others = match self.mode {
            ModeName::Open => "all others: allowed",
            ModeName::AllowList => "all others: blocked, what waits is held",
        };
        let mut lines = self.rules.iter().map(Rule::said).collect::<anyhow::Result<Vec<_>>>()?;
        lines.push(others.to_owned());
        Ok(lines.join("\n"))
    }
}

impl From<&FederationPolicy> for Written {
    fn from(policy: &FederationPolicy) -> Self {
        let mode = match policy.mode() {
            Mode::Open => ModeName::Open,
            Mode::AllowList => ModeName::AllowList,
        };
        Self { mode, rules: policy.rules().map(|(pattern, standing)| Rule::new(pattern, standing)).collect() }
    }
}

impl From<ModeName> for Mode {
    fn from(name: ModeName) -> Self {
        match name {
            ModeName::Open => Self::Open,
            ModeName::AllowList => Self::AllowList,
        }
    }
}

fn domain(text: &str) -> anyhow::Result<Fqdn> {
    text.parse().ok().with_context(|| format!("{text} is no domain"))
}

fn pattern(text: &str) -> anyhow::Result<DomainPattern> {
    text.parse().ok().with_context(|| format!("{text} is neither a domain nor *. with a domain behind it"))
}

/// Homeservers that are shown at a time: more than a person reads, and than are spoken to.
const MAX_SHOWN: usize = 4_096;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use clap::Parser;
    use phoenix_homeserver::federation::{FederationPolicy, Mode, Outbox, Standing, Terms};

    use super::{Options, Order, Written};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn orders(line: &str) -> Result<Vec<Order>, clap::Error> {
        let line = Line::try_parse_from(std::iter::once("peers").chain(line.split_whitespace()))?;
        Ok(line.options.command.orders())
    }

    #[test]
    fn a_rule_is_read_as_it_is_written() {
        let terms = Terms { tokens: Some(5), deliveries_per_s: Some(6), bytes_per_s: Some(7) };
        let said = [
            ("allow a.test --tokens 5 --deliveries-per-s 6 --bytes-per-s 7", Standing::Allowed(terms)),
            ("allow a.test", Standing::default()),
            ("pause a.test", Standing::Paused),
            ("block a.test", Standing::Blocked(Outbox::Hold)),
            ("block --drop a.test", Standing::Blocked(Outbox::Drop)),
        ];
        for (line, standing) in said {
            let [Order::Set { rule }] = &orders(line).unwrap()[..] else { unreachable!("{line}") };
            assert_eq!(rule.standing().unwrap(), standing, "{line}");
            let order = Order::Set { rule: rule.clone() };
            let json = serde_json::to_string(&order).unwrap();
            assert_eq!(serde_json::from_str::<Order>(&json).unwrap(), order, "{json}");
        }
        assert_eq!(orders("block a.test *.b.test c.test").unwrap().len(), 3);
        for line in ["block", "block *.test", "allow a.test --tokens -1", "mode closed"] {
            assert!(orders(line).is_err(), "{line}");
        }
    }

    #[test]
    fn what_is_no_order_is_not_taken_for_one() {
        for json in [
            r#"{"do":"set","rule":{"pattern":"a.test","standing":"blocked","token":1}}"#,
            r#"{"do":"set","rule":{"pattern":"a.test","standing":"banned"}}"#,
            r#"{"do":"show","more":1}"#,
            r#"{"do":"waiting","for":"a.test"}"#,
            r#"{"do":"waiting-for"}"#,
            r#"{"do":"restart"}"#,
            "[]",
        ] {
            assert!(serde_json::from_str::<Order>(json).is_err(), "{json}");
        }
        let paused = r#"{"do":"set","rule":{"pattern":"a.test","standing":"paused","tokens":1}}"#;
        let Order::Set { rule } = serde_json::from_str(paused).unwrap() else { unreachable!() };
        assert!(rule.standing().is_err());
    }

    #[test]
    fn a_policy_is_said_a_line_a_rule() {
        let terms = Terms { tokens: Some(5), deliveries_per_s: None, bytes_per_s: Some(7) };
        let policy = FederationPolicy::default().in_mode(Mode::AllowList);
        let policy = policy.with("a.test".parse().unwrap(), Standing::Allowed(terms)).unwrap();
        let policy = policy.with("*.b.test".parse().unwrap(), Standing::Blocked(Outbox::Drop)).unwrap();

        let said = Written::from(&policy).said().unwrap();

        let lines = "a.test: allowed, 5 tokens a day, 7 bytes a second\n*.b.test: blocked, what waits is dropped\n\
                     all others: blocked, what waits is held";
        assert_eq!(said, lines);
    }
}
