//! What users do with their accounts.

use std::time::Duration;

use phoenix_client::{Client, Event, Outcome, Settings, Stretch};
use phoenix_core::token::Class;

use super::{Narrator, Turn};
use crate::{
    audit::Kind,
    world::{
        cast::Actor,
        town::{habits, password, register},
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
        self.photograph();
        self.client(client.delete_user(PASSWORD).await)?;
        let refused = client.fetch_tokens(&alpha, Class::Standard).await;
        self.expect(refused.is_err(), "who is gone was served")?;
        for (kind, word) in [
            (Kind::Password, PASSWORD.as_bytes()),
            (Kind::Name, PROFILE),
            (Kind::Alias, OTHER_ALIAS.as_bytes()),
        ] {
            self.remember(kind, word).map_err(|error| self.turn(error.to_string()))?;
        }
        self.done("someone comes, and goes again");
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

const GUEST: &str = "a guest";
const PASSWORD: &str = "another password of a guest";
const PROFILE: &[u8] = b"Someone who is passing through";
const ALIAS: &str = "Passing";
const OTHER_ALIAS: &str = "Passing through";
