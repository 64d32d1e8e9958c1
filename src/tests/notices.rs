//! Notices of deleted users on their way.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use phoenix_as::{Outstanding, Settled};
use phoenix_core::{
    ErrorReply, Fqdn,
    api::{Empty, Endpoint, ServiceName, auth::UserNotice},
    federation::{Outbox, Standing},
    port::{Inline, Outgoing, Transport, TransportError},
    store::MemoryStore,
    wire::{Call, Flag, Opaque, VERSION, Wire},
};

use super::{Nowhere, TestClock};
use crate::{Homeserver, notices};

#[test]
fn t06_no_notice_goes_to_a_host_that_shows_no_keys_or_that_the_policy_holds_back() {
    let (alpha, net) = alpha();
    let post = |domain: &str| {
        let body = Opaque::default();
        let call =
            Call { version: VERSION, endpoint: UserNotice::DESCRIPTION.id, auth: None, token: None, body };
        let notice = Outstanding { row: 7, to: domain.parse().unwrap(), call };
        let Settled { row, is_done } = block_on(notices::post(&alpha.inner, notice));
        assert_eq!(row, 7);
        is_done
    };

    assert_eq!(
        [post("victim.test"), post("victim.test"), post("beta.test")],
        [Flag::No, Flag::No, Flag::Yes]
    );
    block_on(alpha.admin().set_rule("beta.test".parse().unwrap(), Standing::Blocked(Outbox::Hold))).unwrap();
    assert_eq!(post("beta.test"), Flag::No);

    assert_eq!(net.posted.lock().unwrap()[..], ["beta.test".parse().unwrap()]);
    let fetched = BTreeSet::from(["beta.test", "victim.test"].map(|it| it.parse().unwrap()));
    assert_eq!(*net.fetched.lock().unwrap(), fetched);
}

fn alpha() -> (Homeserver, Arc<Net>) {
    let clock = TestClock::default();
    let of = |domain: &str| {
        let builder = Homeserver::builder(domain.parse().unwrap()).store(MemoryStore::new());
        builder.clock(clock.clone()).compute(Inline)
    };
    let beta = block_on(of("beta.test").transport(Nowhere).build()).unwrap();
    let net = Arc::new(Net { beta, posted: Mutex::default(), fetched: Mutex::default() });
    (block_on(of("alpha.test").transport(net.clone()).build()).unwrap(), net)
}

/// A homeserver, and hosts that answer whatever they are sent but publish nothing.
struct Net {
    beta: Homeserver,
    posted: Mutex<Vec<Fqdn>>,
    fetched: Mutex<BTreeSet<Fqdn>>,
}

#[async_trait]
impl Transport for Net {
    async fn send(&self, to: &Fqdn, _: Outgoing) -> Result<Result<Bytes, ErrorReply>, TransportError> {
        self.posted.lock().unwrap().push(to.clone());
        Ok(Ok(Empty {}.encode()))
    }

    async fn fetch(&self, from: &Fqdn, service: ServiceName) -> Result<Bytes, TransportError> {
        self.fetched.lock().unwrap().insert(from.clone());
        if from != self.beta.domain() {
            return Err(TransportError::Refused);
        }
        self.beta.document(service).await.map_err(|_| TransportError::Unreachable)
    }
}
