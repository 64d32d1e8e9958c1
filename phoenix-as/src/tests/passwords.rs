//! What a user does with a password.

use std::net::IpAddr;

use futures::executor::block_on;
use phoenix_core::{
    ClientId, Failure, Origin, Refusal, Reject, UserId, Uuid,
    api::auth::{
        AddClientFinishRequest, AddClientInitRequest, LoginReply, SecondFactor, WorkChallenge, WorkProof,
    },
    crypto::{HpkeSecretKey, SigningKey, Suite},
    wire::{Opaque, Wire},
};

use super::world::{By, TestClient, World, client_id, csr};
use crate::{
    op,
    opaque::client::{self, PASSWORD},
};

/// What finishes the adding of a client.
#[derive(Clone)]
pub(super) struct Adding {
    pub(super) request: AddClientFinishRequest,
    pub(super) key: SigningKey,
    pub(super) queue_key: HpkeSecretKey,
}

impl World {
    /// A login that a client began, completed.
    pub(super) fn factor(&self, client: &TestClient) -> SecondFactor {
        self.factor_with(client, PASSWORD).unwrap()
    }

    /// The same with any password: with a wrong one KE3 is wrong, too.
    pub(super) fn factor_with(
        &self,
        client: &TestClient,
        password: &'static [u8],
    ) -> Result<SecondFactor, Reject> {
        let (state, ke1) = client::log_in(password, &mut self.chance()).unwrap();
        let ke1 = Opaque::new(ke1).unwrap();
        let LoginReply { login, ke2 } = self.ask::<op::LoginInit>(ke1, By::Client(client))?;
        let ke3 = state.ke3(&ke2, &client.id.user, &mut self.chance()).unwrap_or(vec![0; 64]);
        Ok(SecondFactor { login, ke3: Opaque::new(ke3).unwrap() })
    }

    /// A login that anyone began from an address; completed, where the password is right.
    pub(super) fn log_in_from(
        &self,
        user: &UserId,
        password: &'static [u8],
        (address, work): (&str, Option<WorkProof>),
    ) -> Result<SecondFactor, Refusal> {
        let (state, ke1) = client::log_in(password, &mut self.chance()).unwrap();
        let request = AddClientInitRequest { user: user.clone(), ke1: Opaque::new(ke1).unwrap(), work };
        let call = self.call::<op::AddClientInit>(&request, By::Nobody, None);
        let address: Option<IpAddr> = address.parse().ok();
        let answer = block_on(self.engine.call::<op::AddClientInit>(call, Origin { address, request: 0 }));
        let LoginReply { login, ke2 } = answer.map_err(|failure| match failure {
            Failure::Refused(refusal) => refusal,
            Failure::Broken(fault) => panic!("{fault}"),
        })?;
        let ke3 = state.ke3(&ke2, user, &mut self.chance()).unwrap_or(vec![0; 64]);
        Ok(SecondFactor { login, ke3: Opaque::new(ke3).unwrap() })
    }

    /// Begins to add a client, with the right password.
    pub(super) fn begin_adding(&self, user: &UserId, client: u8) -> Adding {
        let factor = self.log_in_from(user, PASSWORD, ("192.0.2.1", None)).unwrap();
        self.adding(user, client, factor)
    }

    pub(super) fn adding(&self, user: &UserId, client: u8, factor: SecondFactor) -> Adding {
        let key = SigningKey::generate(Suite::Ed25519, &mut self.chance());
        let queue_key = HpkeSecretKey::generate(Suite::Ed25519, &mut self.chance());
        let id = ClientId { user: user.clone(), client: Uuid([client; 16]) };
        let csr = csr(id, &key, &self.engine.ring().service, self.now());
        let queue = queue_key.public_key().clone();
        Adding { request: AddClientFinishRequest { factor, csr, queue_key: queue }, key, queue_key }
    }

    pub(super) fn finish_adding(&self, adding: &Adding) -> Result<TestClient, Reject> {
        let Adding { request, key, queue_key } = adding.clone();
        let id = request.csr.payload.client.clone();
        let credential = self.ask::<op::AddClientFinish>(request, By::Key(&key))?;
        Ok(TestClient { id, key, queue_key, credential })
    }

    pub(super) fn add(&self, user: &UserId, client: u8) -> TestClient {
        self.finish_adding(&self.begin_adding(user, client)).unwrap()
    }
}

pub(super) fn user(uuid: u8) -> UserId {
    client_id(uuid, "alpha.test").user
}

/// The work that a refusal asks for, and after how many seconds none is asked for any more.
pub(super) fn asked(refusal: &Refusal) -> (WorkChallenge, u32) {
    let Reject::RateLimited(seconds) = refusal.reject else { panic!("{refusal:?}") };
    (WorkChallenge::decode(&refusal.detail).unwrap(), seconds)
}
