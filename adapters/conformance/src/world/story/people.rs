//! How users come to know each other.

use std::{sync::Arc, time::Duration};

use phoenix_client::Event;
use phoenix_core::{Fqdn, token::Class};

use super::{Narrator, Turn};
use crate::{
    audit::Kind,
    world::town::{connect, password, register},
};

impl Narrator {
    pub(super) async fn three_users_register(&mut self) -> Result<(), Turn> {
        let (alpha, beta) = (self.domain(0)?, self.domain(1)?);
        for (name, domain) in [("a", &alpha), ("b", &beta), ("c", &beta)] {
            self.enter(name, domain).await?;
        }
        let c = self.person("c")?;
        self.client(c.client.register_alias(ALIAS).await)?;
        self.remember(Kind::Alias, ALIAS)?;
        self.done("three users register");
        Ok(())
    }

    pub(super) async fn all_obtain_tokens(&mut self) -> Result<(), Turn> {
        let (alpha, beta) = (self.domain(0)?, self.domain(1)?);
        let wanted = [
            ("a", &alpha, Class::Standard),
            ("a", &beta, Class::Standard),
            ("a", &beta, Class::Contact),
            ("b", &beta, Class::Standard),
            ("b", &alpha, Class::Standard),
            ("c", &beta, Class::Standard),
            ("c", &alpha, Class::Standard),
        ];
        for (name, domain, class) in wanted {
            let actor = self.person(name)?;
            self.client(actor.client.fetch_tokens(domain, class).await)?;
            let left = actor.client.tokens_left(domain, class).await;
            self.expect(left > 0, "tokens were issued, and none came")?;
        }
        self.done("all obtain tokens");
        Ok(())
    }

    pub(super) async fn they_connect(&mut self) -> Result<(), Turn> {
        let (a, b, c, beta) = (self.person("a")?, self.person("b")?, self.person("c")?, self.domain(1)?);
        self.client(connect(&a, &b).await)?;
        self.client(a.client.connect_alias(ALIAS, &beta).await)?;
        for event in self.client(c.client.sync(Duration::ZERO).await)? {
            if let Event::Offer { offer, .. } = event {
                self.client(c.client.accept(offer).await)?;
            }
        }
        let mut confirmed = None;
        for _ in 0..PATIENCE {
            for event in self.client(a.client.sync(Duration::ZERO).await)? {
                if let Event::AliasAnswered { group, user } = event {
                    self.expect(user == c.user, "someone else answered for the alias")?;
                    confirmed = Some(self.client(a.client.confirm(&group).await)?);
                }
            }
            if confirmed.is_some() {
                break;
            }
            a.pause(100).await;
        }
        self.expect(confirmed.is_some(), "nobody answered for the alias")?;
        for (one, other) in [(&a, &b), (&a, &c)] {
            let seen = self.client(one.client.safety_number(&other.user).await)?;
            let theirs = self.client(other.client.safety_number(&one.user).await)?;
            self.expect(seen == theirs && !seen.is_empty(), "safety numbers differ")?;
        }
        self.done("a connects to b by id and to c by alias");
        Ok(())
    }

    /// Someone registers, and is reachable from then on.
    pub(super) async fn enter(&mut self, name: &'static str, domain: &Fqdn) -> Result<(), Turn> {
        let registered = register(&self.ground, name, domain).await;
        let actor = self.client(registered)?;
        self.people.insert(name, Arc::new(actor));
        self.remember(Kind::Password, password(name))
    }
}

/// An alias that someone registers.
pub(super) const ALIAS: &str = "Carol";
/// How often someone looks for an answer.
const PATIENCE: usize = 100;
