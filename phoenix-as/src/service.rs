//! The service as a type, and its endpoints.

use std::sync::Arc;

use phoenix_core::{
    api::ServiceName,
    engine::{Engine, Handler, bind},
    operation::{OnAlarm, Service},
    port::Space,
};

use crate::{AuthKeys, AuthSettings, kinds::NOTICES, op};

/// The authentication service.
#[derive(Clone, Copy, Debug)]
pub struct AuthService;

impl Service for AuthService {
    const NAME: ServiceName = ServiceName::As;
    const SPACE: Space = Space::As;
    type Keys = AuthKeys;
    type Settings = AuthSettings;

    /// What has ended is dropped, whatever it was; notices are sent.
    fn on_alarm(kind: u8) -> OnAlarm {
        match kind {
            NOTICES => OnAlarm::Tick,
            _ => OnAlarm::Drop,
        }
    }
}

/// All endpoints of the AS, over one engine.
#[must_use]
pub fn handlers(engine: &Arc<Engine<AuthService>>) -> Vec<Arc<dyn Handler>> {
    vec![
        bind::<op::AsCredentials>(engine),
        bind::<op::RegistrationChallenge>(engine),
        bind::<op::RegisterInit>(engine),
        bind::<op::RegisterFinish>(engine),
        bind::<op::LoginInit>(engine),
        bind::<op::AddClientInit>(engine),
        bind::<op::AddClientFinish>(engine),
        bind::<op::RemoveClient>(engine),
        bind::<op::RenewCredential>(engine),
        bind::<op::ChangePassword>(engine),
        bind::<op::DeleteUser>(engine),
        bind::<op::RevokedSince>(engine),
        bind::<op::PublishConnectionPackages>(engine),
        bind::<op::GetConnectionPackage>(engine),
        bind::<op::EnqueueOffer>(engine),
        bind::<op::DequeueOffers>(engine),
        bind::<op::AliasRegister>(engine),
        bind::<op::AliasPublishPackages>(engine),
        bind::<op::AliasGetPackage>(engine),
        bind::<op::AliasEnqueueOffer>(engine),
        bind::<op::AliasDequeue>(engine),
        bind::<op::AliasDelete>(engine),
        bind::<op::AliasRenew>(engine),
        bind::<op::MakeInvitation>(engine),
        bind::<op::UpdateProfile>(engine),
        bind::<op::GetProfile>(engine),
        bind::<op::Lookup>(engine),
        bind::<op::IssueTokens>(engine),
        bind::<op::TokenKeys>(engine),
        bind::<op::TokenRequest>(engine),
        bind::<op::DpopToken>(engine),
        bind::<op::UserNotice>(engine),
    ]
}
