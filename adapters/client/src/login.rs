//! Logging in with the password (04): as a further client of a user, or once more as a client, for what takes both.

use phoenix_core::{
    ErrorCode,
    api::auth::{
        AddClientFinish, AddClientFinishRequest, AddClientInit, AddClientInitRequest, LoginInit, LoginReply,
        SecondFactor, WorkChallenge,
    },
    wire::Wire,
};

use crate::{
    candidate::Candidate, error::ClientError, opaque::Login, ports::ClientPorts, session::Session,
    settings::Settings, work,
};

/// Logs in as a further client of a user.
pub(crate) async fn log_in(settings: &Settings, ports: ClientPorts) -> Result<Session, ClientError> {
    if settings.user.is_none() {
        return Err(ClientError::State("who logs in must name the user"));
    }
    let mut candidate = Candidate::new(settings, ports)?;
    let authority = candidate.authority().await?;
    let password = settings.password.as_bytes();
    let (login, ke1) = Login::start(password, candidate.entropy())?;
    let init = AddClientInitRequest { user: candidate.user().clone(), ke1, work: None };
    let LoginReply { login: id, ke2 } = begin(&mut candidate, init, settings.work_bits).await?;
    let ke3 = login.finish(password, &ke2, candidate.user(), settings.stretch)?;
    let request = AddClientFinishRequest {
        factor: SecondFactor { login: id, ke3 },
        csr: candidate.csr(&authority)?,
        queue_key: candidate.queue_key().clone(),
    };
    let auth = candidate.auth();
    let credential = candidate.call::<AddClientFinish>(Some(&auth), &request).await?;
    candidate.finish(&authority, &request.csr, credential)
}

/// Begins, doing the work that is asked for where logins have failed before.
async fn begin(
    candidate: &mut Candidate,
    mut init: AddClientInitRequest,
    work_bits: u8,
) -> Result<LoginReply, ClientError> {
    let refused = match candidate.call::<AddClientInit>(None, &init).await {
        Err(ClientError::Refused(refused)) if refused.code == ErrorCode::RateLimited => refused,
        other => return other,
    };
    let Ok(challenge) = WorkChallenge::decode(&refused.detail) else {
        return Err(ClientError::Refused(refused));
    };
    init.work = Some(work::solve(&challenge, &init.user, work_bits).await?);
    candidate.call::<AddClientInit>(None, &init).await
}

impl Session {
    /// Proves the password, for one call that takes it beside our key.
    pub(crate) async fn second_factor(&mut self, password: &str) -> Result<SecondFactor, ClientError> {
        let (login, ke1) = Login::start(password.as_bytes(), self.ports.entropy.clone())?;
        let (route, auth) = (self.identity_route(&self.domain().clone()), self.identity());
        let LoginReply { login: id, ke2 } = self.call_free::<LoginInit>(&route, Some(&auth), &ke1).await?;
        let account = &self.state.account;
        let ke3 = login.finish(password.as_bytes(), &ke2, &account.client.user, account.stretch)?;
        Ok(SecondFactor { login: id, ke3 })
    }
}
