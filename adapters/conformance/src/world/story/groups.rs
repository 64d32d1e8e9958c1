//! What users do in groups.

use std::time::Duration;

use futures::future::join_all;
use phoenix_client::{ClientError, Event};
use phoenix_core::{
    ErrorCode, GroupId,
    port::{Outgoing, Transport},
    token::{Class, Token},
};

use super::{Narrator, Turn};
use crate::world::{link::Link, town::connect};

impl Narrator {
    pub(super) async fn a_group_over_two_homeservers(&mut self) -> Result<GroupId, Turn> {
        let group = self.found("a", &["b", "c"]).await?;
        self.done("a makes a group, and b and c join it");
        Ok(group)
    }

    pub(super) async fn all_three_send(&mut self, group: &GroupId) -> Result<(), Turn> {
        for (number, name) in (0..MESSAGES).zip(["a", "b", "c"].into_iter().cycle()) {
            self.say(name, group, &format!("{name} says {number}")).await?;
        }
        self.settle(&[]).await?;
        let mut deliveries = 0;
        for name in ["a", "b", "c"] {
            deliveries += self.shown(name, group)?.len();
        }
        self.expect(deliveries == 2 * MESSAGES, "not every message reached both others")?;
        self.done(format!("{MESSAGES} messages, {deliveries} deliveries"));
        Ok(())
    }

    pub(super) async fn eight_commit_at_once(&mut self) -> Result<(), Turn> {
        let domains = [self.domain(0)?, self.domain(1)?];
        for (name, domain) in OTHERS.into_iter().zip(domains.iter().cycle()) {
            self.enter(name, domain).await?;
            let (a, other) = (self.person("a")?, self.person(name)?);
            self.client(connect(&a, &other).await)?;
        }
        let group = self.found("a", &["b", "c", "d", "e", "f", "g", "h"]).await?;
        let a = self.person("a")?;
        let before = self.client(a.client.epoch(&group).await)?.0;
        let refused = self.ground.ledger.refused(ErrorCode::Conflict);
        let members: Vec<_> = self.people.values().cloned().collect();
        for done in join_all(members.iter().map(|member| member.client.update(&group))).await {
            self.client(done)?;
        }
        let conflicts = self.ground.ledger.refused(ErrorCode::Conflict) - refused;
        self.expect(conflicts + 1 >= members.len(), "more than one commit was accepted for an epoch")?;
        self.settle(&[]).await?;
        for member in &members {
            let epoch = self.client(member.client.epoch(&group).await)?.0;
            self.expect(epoch - before == 8, "eight commits must lead eight epochs on")?;
        }
        self.done(format!("eight commit at once, {conflicts} are told the current epoch, all succeed"));
        Ok(())
    }

    pub(super) async fn what_must_be_refused_is_refused(&mut self, group: &GroupId) -> Result<(), Turn> {
        let (a, alpha) = (self.person("a")?, self.domain(0)?);
        let token = self.client(a.client.take_token(&alpha, Class::Standard).await)?;
        let first = self.message("a says it once", group, token.clone()).await?;
        self.expect(self.give(first.clone()).await.is_ok(), "a message with a good token was refused")?;
        let spent = self.message("a says it again", group, token.clone()).await?;
        let forged = Token { nonce: [7; 32], ..token };
        let forged = self.message("a says it with a forgery", group, forged).await?;
        let other = self.client(a.client.take_token(&alpha, Class::Contact).await)?;
        let other = self.message("a says it with another token", group, other).await?;
        let cases = [
            ("replayed", first, ErrorCode::TokenSpent),
            ("spent", spent, ErrorCode::TokenSpent),
            ("forged", forged, ErrorCode::TokenInvalid),
            ("of another class", other, ErrorCode::TokenRequired),
        ];
        for (what, outgoing, expected) in cases {
            let found = self.give(outgoing).await.err();
            let told = format!("a token that is {what}: {found:?} and not {expected:?}");
            self.expect(found == Some(expected), &told)?;
        }
        self.settle(&[]).await?;
        self.done("spent, forged, wrong and replayed tokens are refused");
        Ok(())
    }

    pub(super) async fn the_wire_is_cut_and_mended(&mut self, group: &GroupId) -> Result<(), Turn> {
        let local = self.found("a", &["d"]).await?;
        let (alpha, beta) = (self.domain(0)?, self.domain(1)?);
        let before = (self.shown("b", group)?.len(), self.shown("d", &local)?.len());
        self.ground.weather.cut(&alpha, &beta);
        for number in 0..CUT_OFF {
            self.say("a", group, &format!("a says {number} while cut off")).await?;
        }
        self.say("a", &local, "a says something at home").await?;
        self.ground.clock.sleep_ms(CUT_MS).await;
        // With all that waits.
        self.photograph(WAITING);
        for name in ["b", "d"] {
            let actor = self.person(name)?;
            self.client(actor.read().await)?;
        }
        self.expect(self.shown("b", group)?.len() == before.0, "a message went over a wire that was cut")?;
        self.expect(self.shown("d", &local)?.len() == before.1 + 1, "users at home could not go on")?;
        self.ground.weather.mend(&alpha, &beta);
        let mended = self.ground.clock.elapsed_ms();
        self.settle(&[]).await?;
        let after_ms = self.ground.clock.elapsed_ms() - mended;
        let late = self.shown("b", group)?.split_off(before.0);
        let expected: Vec<String> =
            (0..CUT_OFF).map(|number| format!("a says {number} while cut off")).collect();
        self.expect(late == expected, "what waited did not arrive once and in order")?;
        self.done(format!("{CUT_OFF} messages wait while the wire is cut, and arrive within {after_ms} ms"));
        Ok(())
    }

    pub(super) async fn a_member_is_removed(&mut self, group: &GroupId) -> Result<(), Turn> {
        let (a, b) = (self.person("a")?, self.person("b")?);
        self.client(a.client.remove(group, std::slice::from_ref(&b.user)).await)?;
        self.ground.ledger.speaks("b", "b says one thing more");
        let refused = b.client.send(group, "b says one thing more").await.err();
        let is_refused = matches!(refused, Some(ClientError::Refused(_) | ClientError::State(_)));
        self.expect(is_refused, "a removed member could send")?;
        let before = self.shown("b", group)?.len();
        self.say("a", group, "a says it without b").await?;
        self.settle(&[]).await?;
        let heard = self.shown("b", group)?.len();
        self.expect(heard == before && !b.is_member(group), "a removed member could read")?;
        let c = self.shown("c", group)?;
        self.expect(c.last().is_some_and(|it| it == "a says it without b"), "c did not hear it")?;
        self.done("a removes b, who can neither send nor read from then on");
        Ok(())
    }

    /// Someone makes a group with others, who join it.
    pub(super) async fn found(&self, admin: &'static str, others: &[&'static str]) -> Result<GroupId, Turn> {
        let creator = self.person(admin)?;
        let group = self.client(creator.client.create_group().await)?;
        let mut users = Vec::new();
        for name in others {
            users.push(self.person(name)?.user.clone());
        }
        self.client(creator.client.invite(&group, &users).await)?;
        creator.settle(&group).await;
        for name in others {
            let actor = self.person(name)?;
            for _ in 0..PATIENCE {
                if actor.is_member(&group) {
                    break;
                }
                for event in self.client(actor.client.sync(Duration::from_secs(1)).await)? {
                    self.expect(!matches!(event, Event::InvitationRefused), "an invitation was refused")?;
                    actor.note(&event).await;
                }
            }
            self.expect(actor.is_member(&group), "an invitation did not arrive")?;
        }
        Ok(group)
    }

    async fn message(&self, text: &str, group: &GroupId, token: Token) -> Result<Outgoing, Turn> {
        let a = self.person("a")?;
        self.ground.ledger.speaks("a", text);
        self.client(a.client.prepare_message(group, text, Some(token)).await)
    }

    /// Gives alpha's homeserver a call as it is.
    async fn give(&self, outgoing: Outgoing) -> Result<(), ErrorCode> {
        let alpha = self.domain(0).map_err(|_| ErrorCode::Internal)?;
        let link = Link::of_client(&self.ground, "a");
        match link.send(&alpha, outgoing).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.code),
            Err(_) => Err(ErrorCode::Unavailable),
        }
    }
}

const OTHERS: [&str; 5] = ["d", "e", "f", "g", "h"];
const MESSAGES: usize = 60;
const CUT_OFF: usize = 40;
/// For how long the wire is cut.
const CUT_MS: u64 = 20_000;
/// How often someone looks whether an invitation came.
const PATIENCE: usize = 50;
/// The photograph of what is cut off.
const WAITING: &str = "what waits for a wire that is cut";
