//! What members of a group do to each other and of themselves, and how a group ends.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use phoenix_client::{Client, ClientError, Event};
use phoenix_core::{ErrorCode, GroupId, api::delivery::ReportReason, crypto::AtRestKey, wire::Secret};

use super::{Narrator, Turn};
use crate::{
    audit::Kind,
    world::{
        cast::Actor,
        town::{connect, habits},
    },
};

impl Narrator {
    /// Someone says something to one member of a group alone.
    pub(super) async fn one_speaks_to_one(&mut self) -> Result<GroupId, Turn> {
        let (d, c) = (self.person("d")?, self.person("c")?);
        for name in ["c", "e", "f"] {
            let other = self.person(name)?;
            self.client(connect(&d, &other).await)?;
        }
        let group = self.found("d", &["c", "e", "f"]).await?;
        self.ground.ledger.whispers("d", BTreeSet::from(["c".to_owned()]), WHISPER);
        self.client(d.client.send_to(&group, &c.user, WHISPER).await)?;
        self.say("d", &group, "d says it to all of them").await?;
        self.settle(&[]).await?;
        for (name, expected) in [("c", 2), ("f", 1), ("e", 1)] {
            let shown = self.shown(name, &group)?;
            let heard = shown.iter().any(|text| text == WHISPER);
            self.expect(
                heard == (name == "c"),
                &format!("of what is for c alone, {name} is shown {shown:?}"),
            )?;
            self.expect(shown.len() == expected, &format!("{name} is shown {shown:?}"))?;
        }
        self.done("d says something to c alone, and nobody else is shown it");
        Ok(group)
    }

    /// Members are given the key of a profile, and one reports another.
    pub(super) async fn members_tell_of_themselves_and_of_others(
        &mut self,
        group: &GroupId,
    ) -> Result<(), Turn> {
        let (d, c, f) = (self.person("d")?, self.person("c")?, self.person("f")?);
        self.client(d.client.update_profile(PROFILE).await)?;
        self.client(d.client.share_profile(group).await)?;
        self.settle(&[]).await?;
        for member in [&c, &f] {
            let profile = self.client(member.client.member_profile(group, &d.user).await)?;
            self.expect(profile == PROFILE, "a member's profile is not what it published")?;
        }
        let members = self.client(c.client.members(group).await)?;
        let accused = members.into_iter().find(|member| member.user.as_ref() == Some(&f.user));
        let accused = accused.ok_or_else(|| self.turn("c does not see f"))?.leaf;
        self.client(c.client.report(group, accused, ReportReason::Abuse, EVIDENCE).await)?;
        for (kind, word) in [(Kind::Name, PROFILE), (Kind::Text, EVIDENCE)] {
            self.remember(kind, word)?;
        }
        self.done("d shows its profile to a group, and c reports f");
        Ok(())
    }

    /// Someone becomes admin, and someone is none any more.
    pub(super) async fn roles_change(&mut self, group: &GroupId) -> Result<(), Turn> {
        let (d, c, f) = (self.person("d")?, self.person("c")?, self.person("f")?);
        let f = std::slice::from_ref(&f.user);
        self.is_forbidden(c.client.remove(group, f).await, "a plain member could remove another")?;
        let (up, down) = (std::slice::from_ref(&c.user), std::slice::from_ref(&d.user));
        self.client(d.client.change_roles(group, up, down).await)?;
        self.settle(&[]).await?;
        for name in ["d", "c", "f", "e"] {
            let viewer = self.person(name)?;
            let members = self.client(viewer.client.members(group).await)?;
            let admins: Vec<_> = members.into_iter().filter(|it| it.admin).map(|it| it.user).collect();
            let expected = [Some(c.user.clone())];
            self.expect(admins == expected, &format!("{name} sees other admins than c"))?;
        }
        self.is_forbidden(d.client.remove(group, f).await, "who is no admin any more could remove another")?;
        self.settle(&[]).await?;
        self.done("d makes c admin in its place, and may then remove nobody");
        Ok(())
    }

    /// Someone leaves, and the admin carries it out.
    pub(super) async fn one_leaves(&mut self, group: &GroupId) -> Result<(), Turn> {
        let (d, f) = (self.person("d")?, self.person("f")?);
        self.client(f.client.leave(group).await)?;
        // With a proposal that waits.
        self.photograph("a proposal that waits");
        self.settle(&[]).await?;
        self.expect(!f.is_member(group), "who left is a member still")?;
        for name in ["d", "c", "e"] {
            let members = self.client(self.person(name)?.client.members(group).await)?;
            let is_there = members.iter().any(|member| member.user.as_ref() == Some(&f.user));
            self.expect(!is_there && members.len() == 3, &format!("{name} sees who left"))?;
        }
        let before = self.shown("f", group)?.len();
        self.client(d.read().await)?;
        self.say("d", group, "d says it after f left").await?;
        self.settle(&[]).await?;
        self.expect(self.shown("f", group)?.len() == before, "who left could read")?;
        self.done("f leaves");
        Ok(())
    }

    /// Someone goes on from a state before a commit of its own, cannot process what it finds then, and comes back.
    pub(super) async fn one_falls_behind_and_comes_back(&mut self, group: &GroupId) -> Result<(), Turn> {
        let (former, key) = (self.person("e")?, AtRestKey::new(Secret::new([9; 32])));
        let sealed = former.client.export(&key).await;
        self.client(former.client.update(group).await)?;
        let ports = Actor::ports(&self.ground, "e");
        let restored = self.client(Client::import(&sealed, &key, ports, habits(), None))?;
        let e = Arc::new(former.going_on(restored));
        self.people.insert("e", e.clone());
        let mut is_back = false;
        for _ in 0..PATIENCE {
            for event in self.client(e.client.sync(Duration::from_secs(1)).await)? {
                is_back |= matches!(&event, Event::Resynced { group: of, .. } if of == group);
                e.note(&event).await;
            }
            if is_back {
                break;
            }
        }
        self.expect(is_back, "who fell behind did not come back")?;
        self.settle(&[]).await?;
        self.say("d", group, "d says it to e, who is back").await?;
        self.say("e", group, "e says that it is back").await?;
        self.settle(&[]).await?;
        for (name, text) in [("e", "d says it to e, who is back"), ("c", "e says that it is back")] {
            let shown = self.shown(name, group)?;
            self.expect(shown.iter().any(|it| it == text), &format!("{name} is shown {shown:?}"))?;
        }
        let c = self.person("c")?;
        let (theirs, others) = (e.client.epoch(group).await, c.client.epoch(group).await);
        self.expect(theirs.is_ok() && theirs == others, "who came back is in another epoch")?;
        self.done("e goes on from an older state, falls behind by that, and comes back");
        Ok(())
    }

    /// An admin ends a group: nobody is in it any more.
    pub(super) async fn a_group_ends(&mut self, group: &GroupId) -> Result<(), Turn> {
        let (d, c) = (self.person("d")?, self.person("c")?);
        self.is_forbidden(d.client.delete_group(group).await, "a plain member could end a group")?;
        self.settle(&[]).await?;
        self.client(c.client.delete_group(group).await)?;
        self.settle(&[]).await?;
        // It is told of its own commit, and of nothing after that.
        c.diary().removed(group);
        for (name, actor) in &self.people {
            self.expect(!actor.is_member(group), &format!("{name} is in a group that ended"))?;
        }
        self.expect(c.client.epoch(group).await.is_err(), "who ended a group has it still")?;
        self.ground.ledger.speaks("d", "d says it to nobody");
        let refused = d.client.send(group, "d says it to nobody").await;
        self.expect(refused.is_err(), "a message to a group that ended was accepted")?;
        self.done("c ends the group, and nobody is in it any more");
        Ok(())
    }

    fn is_forbidden(&self, done: Result<(), ClientError>, what: &str) -> Result<(), Turn> {
        let code = done.as_ref().err().and_then(ClientError::code);
        self.expect(code == Some(ErrorCode::Forbidden), &format!("{what}: {done:?}"))
    }
}

const WHISPER: &str = "d says it to c alone";
const PROFILE: &[u8] = b"Whoever founded this group";
const EVIDENCE: &[u8] = b"what f said to c, as c tells it";
/// How often someone looks whether it is back.
const PATIENCE: usize = 20;
