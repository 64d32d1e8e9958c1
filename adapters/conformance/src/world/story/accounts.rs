//! What users do with their accounts.

use std::time::Duration;

use phoenix_client::{Client, Event, Outcome, Settings, Stretch};
use phoenix_core::token::Class;

use super::{Narrator, Turn};
use crate::{
    audit::Kind,
    world::{
        cast::Actor,
        town::{connect, habits, password, register},
    },
};

impl Narrator {
    /// Someone comes, does all that one can do with an account, and goes again.
    pub(super) async fn someone_comes_and_goes(&mut self) -> Result<(), Turn> {
        let (alpha, a) = (self.domain(0)?, self.person("a")?);
        let guest = self.client(register(&self.ground, GUEST, &alpha).await)?;
        let client = &guest.client;
        let settings = Settings {
            user: Some(guest.user.uuid),
            stretch: Stretch::least(),
            habits: habits(),
            ..Settings::new(alpha.clone(), password(GUEST))
        };
        let ports = Actor::ports(&self.ground, "the second client of a guest");
        let second = self.client(Client::log_in(settings, ports).await)?;
        self.client(client.renew_credential().await)?;
        self.client(client.change_password(&password(GUEST), PASSWORD).await)?;
        let key = self.client(client.update_profile(PROFILE).await)?;
        let profile = self.client(a.client.profile(&guest.user, &key).await)?;
        self.expect(profile == PROFILE, "a profile was not what was published")?;
        let c = self.person("c")?;
        let profile = self.client(c.client.profile_through_home(&guest.user, &key).await)?;
        self.expect(profile == PROFILE, "a profile that was looked up was not what was published")?;
        let alias = self.client(client.register_alias(ALIAS).await)?;
        self.client(client.renew_alias(&alias).await)?;
        self.client(client.delete_alias(&alias).await)?;
        self.client(client.register_alias(OTHER_ALIAS).await)?;
        self.client(client.make_invitation().await)?;
        self.client(client.request_token(&alpha, Class::Standard).await)?;
        self.client(client.dpop_token(&[self.domain(1)?]).await)?;
        self.decline(&guest).await?;
        self.client(client.remove_client(second.id().client, PASSWORD).await)?;
        self.client(client.check_authority(&alpha).await)?;
        // With all that a user can have.
        self.photograph("a guest with all that a user can have");
        self.client(client.delete_user(PASSWORD).await)?;
        let refused = client.fetch_tokens(&alpha, Class::Standard).await;
        self.expect(refused.is_err(), "who is gone was served")?;
        for (kind, word) in [
            (Kind::Password, password(GUEST).as_bytes()),
            (Kind::Password, PASSWORD.as_bytes()),
            (Kind::Name, PROFILE),
            (Kind::Alias, OTHER_ALIAS.as_bytes()),
        ] {
            self.remember(kind, word)?;
        }
        self.done("someone comes, and goes again");
        Ok(())
    }

    /// Members of a group delete their accounts, and nobody commits: of each queue that is gone there are notes.
    pub(super) async fn members_go_without_a_word(&mut self) -> Result<(), Turn> {
        let alpha = self.domain(0)?;
        for name in MEMBERS {
            self.enter(name, &alpha).await?;
            let (a, member) = (self.person("a")?, self.person(name)?);
            self.client(connect(&a, &member).await)?;
        }
        let group = self.found("a", &MEMBERS).await?;
        self.settle(&[]).await?;
        for name in MEMBERS {
            let member = self.person(name)?;
            self.people.remove(name);
            self.client(member.client.delete_user(&password(name)).await)?;
        }
        for text in ["a says it, and nobody is there", "a says it again"] {
            self.say("a", &group, text).await?;
            self.ground.clock.sleep_ms(NOTED_MS).await;
        }
        self.photograph("queues that are gone");
        self.done("members of a group delete their accounts");
        Ok(())
    }

    /// A guest declines an offer, and whoever made it is told.
    async fn decline(&self, guest: &Actor) -> Result<(), Turn> {
        let a = self.person("a")?;
        self.client(a.client.connect(&guest.user).await)?;
        for event in self.client(guest.client.sync(Duration::ZERO).await)? {
            if let Event::Offer { offer, .. } = event {
                self.client(guest.client.decline(offer).await)?;
            }
        }
        self.client(a.read().await)?;
        let made = a.client.offers_made().await;
        let is_declined = made.iter().any(|it| it.outcome == Outcome::Declined);
        self.expect(is_declined, "whoever made an offer was not told that it is declined")
    }
}

/// Who is in a group, and goes.
const MEMBERS: [&str; 3] = ["i", "j", "k"];
/// In this time what is sent is found to reach nobody.
const NOTED_MS: u64 = 120_000;
const GUEST: &str = "a guest";
const PASSWORD: &str = "another password of a guest";
const PROFILE: &[u8] = b"Someone who is passing through";
const ALIAS: &str = "Passing";
const OTHER_ALIAS: &str = "Passing through";
