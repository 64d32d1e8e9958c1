//! Registration with what the homeserver's policy asks for.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod support;

use phoenix_client::{Client, ClientError, Missing, Settings};
use phoenix_core::{ErrorCode, api::auth::InvitationCode, wire::Secret};
use phoenix_homeserver::{
    Builder,
    auth::{self, RegistrationPolicy, RegistrationSettings, WorkSettings},
};

use support::{play_with, settings};

#[test]
fn who_was_invited_registers_once_and_invites_others() {
    let policy = RegistrationPolicy::invitation();
    play_with(&["alpha.test"], asking(policy), async |world| {
        let uninvited = Client::register(settings("alpha.test"), world.ports()).await;
        assert_eq!(uninvited.expect_err("asked"), ClientError::Demanded(vec![Missing::Invitation]));
        let guess = InvitationCode(Secret::new([7; 16]));
        let guessed = Client::register(invited(guess), world.ports()).await;
        assert_eq!(guessed.expect_err("none").code(), Some(ErrorCode::Forbidden));

        let first = world.admin("alpha.test").invite(3_600).await.expect("invited").code;
        let a = Client::register(invited(first.clone()), world.ports()).await.expect("registered");
        let second = a.make_invitation().await.expect("invited").code;
        // As it is handed on.
        let second = second.to_text().parse().expect("a code");
        Client::register(invited(second), world.ports()).await.expect("registered");

        let used = Client::register(invited(first), world.ports()).await;
        assert_eq!(used.expect_err("used").code(), Some(ErrorCode::Forbidden));
    });
}

#[test]
fn who_works_is_let_in_up_to_what_the_settings_allow() {
    let policy = RegistrationPolicy::work().or(RegistrationPolicy::external());
    play_with(&["alpha.test"], asking(policy), async |world| {
        let lazy = Settings { work_bits: 3, ..settings("alpha.test") };
        let refused = Client::register(lazy, world.ports()).await;
        assert_eq!(refused.expect_err("work"), ClientError::Demanded(vec![Missing::Work { bits: 8 }]));

        Client::register(settings("alpha.test"), world.ports()).await.expect("registered");
    });
}

#[test]
fn nothing_opens_registration_that_is_closed() {
    play_with(
        &["alpha.test"],
        |builder| builder,
        async |world| {
            world.admin("alpha.test").close_registration().await.expect("closed");

            let refused = Client::register(settings("alpha.test"), world.ports()).await;

            assert_eq!(refused.expect_err("closed"), ClientError::Demanded(Vec::new()));
            world.admin("alpha.test").open_registration().await.expect("opened");
            Client::register(settings("alpha.test"), world.ports()).await.expect("registered");
        },
    );
}

fn asking(policy: RegistrationPolicy) -> impl Fn(Builder) -> Builder {
    move |builder| {
        let registration = RegistrationSettings {
            policy: policy.clone(),
            work: WorkSettings { bits: 8, ..WorkSettings::default() },
            hint: "captcha".to_owned(),
            clients_invite: true,
            ..RegistrationSettings::default()
        };
        builder.auth_settings(auth::Settings { registration, ..auth::Settings::default() })
    }
}

fn invited(code: InvitationCode) -> Settings {
    Settings { invitation: Some(code), ..settings("alpha.test") }
}
