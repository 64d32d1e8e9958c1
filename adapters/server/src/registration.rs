//! Who may register: the policy that `serve` is told, and the commands for its operator.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use phoenix_core::{api::auth::MAX_BITS, time::DAY};
use phoenix_homeserver::{
    Admin,
    auth::{RegistrationPolicy, RegistrationSettings, WorkSettings},
};
use phoenix_http::RegistrationHook;

use crate::admin::Database;

/// What `serve` is told of registration.
#[derive(Debug, Args)]
pub(crate) struct PolicyOptions {
    /// Who may register: open, closed, invitation, work or hook; several joined by + must all be satisfied. May be
    /// repeated: who satisfies any may register.
    #[arg(long, value_name = "DEMANDS", default_value = "open")]
    registration: Vec<String>,
    /// Where the operator's own judge of registrations is asked, for the demand `hook`: an address of http or https.
    #[arg(long, value_name = "URL")]
    registration_hook: Option<String>,
    /// What clients are told about the judge: what kind of proof it wants to see.
    #[arg(long, value_name = "TEXT", default_value = "", requires = "registration_hook")]
    registration_hint: String,
    /// How hard the work is while few register, in bits: each one more doubles it.
    #[arg(long, value_name = "BITS", default_value_t = WorkSettings::default().bits,
        value_parser = clap::value_parser!(u8).range(0..=i64::from(MAX_BITS)))]
    registration_work_bits: u8,
    /// Lets clients invite, with a token each time that they get five of in 30 days.
    #[arg(long)]
    clients_invite: bool,
}

impl PolicyOptions {
    /// The settings that they mean.
    pub(crate) fn settings(&self) -> anyhow::Result<RegistrationSettings> {
        let mut policy = RegistrationPolicy::closed();
        for demands in &self.registration {
            policy = policy.or(all(demands)?);
        }
        let wants_hook = self.registration.iter().any(|demands| demands.split('+').any(|it| it == "hook"));
        if wants_hook != self.registration_hook.is_some() {
            bail!("--registration hook and --registration-hook URL belong together");
        }
        let work = WorkSettings { bits: self.registration_work_bits, ..WorkSettings::default() };
        Ok(RegistrationSettings {
            policy,
            work,
            hint: self.registration_hint.clone(),
            clients_invite: self.clients_invite,
            ..RegistrationSettings::default()
        })
    }

    /// The operator's judge, where there is one; one of https is vouched for by these authorities (PEM), or the web's.
    pub(crate) fn hook(&self, authorities: Option<&[u8]>) -> anyhow::Result<Option<RegistrationHook>> {
        let hook = self.registration_hook.as_deref().map(|url| match authorities {
            Some(pem) => RegistrationHook::with_authorities(url, pem),
            None => RegistrationHook::new(url),
        });
        hook.transpose().context("--registration-hook")
    }
}

/// A policy of demands that must all be satisfied.
fn all(demands: &str) -> anyhow::Result<RegistrationPolicy> {
    let mut policy = RegistrationPolicy::open();
    for demand in demands.split('+') {
        policy = policy.and(&match demand {
            "open" => RegistrationPolicy::open(),
            "closed" => RegistrationPolicy::closed(),
            "invitation" => RegistrationPolicy::invitation(),
            "work" => RegistrationPolicy::work(),
            "hook" => RegistrationPolicy::external(),
            _ => {
                bail!("--registration {demands}: {demand} is none of open, closed, invitation, work and hook")
            }
        });
    }
    Ok(policy)
}

/// What `registration` is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    database: Database,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lets nobody register from now on, whatever the policy says, also with a server running on the database.
    Close,
    /// Lets those register again whom the policy lets in.
    Open,
    /// Says whether registration is closed.
    Show,
    /// Makes an invitation that is good once, and prints its code.
    Invite {
        /// For how many days it is good.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_650))]
        days: u64,
    },
}

/// Does what the operator asks for, on the database of a server that may be running.
pub(crate) async fn run(options: Options) -> anyhow::Result<String> {
    let admin = options.database.open().await?.admin();
    match options.command {
        Command::Close => admin.close_registration().await?,
        Command::Open => admin.open_registration().await?,
        Command::Show => {}
        Command::Invite { days } => return invite(&admin, days).await,
    }
    let closed = admin.registration_is_closed().await?;
    Ok(format!("registration is {}", if closed { "closed" } else { "open for whom the policy lets in" }))
}

async fn invite(admin: &Admin, days: u64) -> anyhow::Result<String> {
    Ok(admin.invite(days.saturating_mul(DAY)).await?.code.to_text())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use clap::Parser;
    use phoenix_homeserver::auth::{RegistrationPolicy, RegistrationSettings};

    use super::PolicyOptions;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: PolicyOptions,
    }

    fn settings(line: &str) -> anyhow::Result<RegistrationSettings> {
        let line = Line::try_parse_from(std::iter::once("serve").chain(line.split_whitespace()))?;
        line.options.settings()
    }

    #[test]
    fn a_policy_is_written_as_alternatives_of_demands() {
        let (invitation, work) = (RegistrationPolicy::invitation(), RegistrationPolicy::work());
        let policies = [
            ("", RegistrationPolicy::open()),
            ("--registration closed", RegistrationPolicy::closed()),
            ("--registration invitation+work", invitation.clone().and(&work)),
            ("--registration invitation --registration work", invitation.clone().or(work.clone())),
            (
                "--registration invitation --registration work+hook --registration-hook http://127.0.0.1:9/",
                invitation.or(work.and(&RegistrationPolicy::external())),
            ),
        ];
        for (line, policy) in policies {
            assert_eq!(settings(line).unwrap().policy, policy, "{line}");
        }
        assert!(settings("--clients-invite").unwrap().clients_invite);
        assert_eq!(settings("--registration work --registration-work-bits 7").unwrap().work.bits, 7);
    }

    #[test]
    fn what_is_no_policy_is_refused_with_its_reason() {
        let reasons = [
            ("--registration friends", "friends is none of"),
            ("--registration work+", "is none of"),
            ("--registration hook", "belong together"),
            ("--registration-hook http://127.0.0.1:9/", "belong together"),
            ("--registration-hint captcha", "--registration-hook"),
            ("--registration work --registration-work-bits 29", "29 is not in 0..=28"),
        ];
        for (line, reason) in reasons {
            assert!(settings(line).unwrap_err().to_string().contains(reason), "{line}");
        }
    }
}
