//! What a member of tests says to one other, of itself, and to the operator; and how a world grows old.

use std::sync::Arc;

use async_trait::async_trait;
use futures::executor::block_on;
use openmls::prelude::LeafNodeIndex;
use phoenix_core::{
    Failure, Fqdn, MessageId, Pseudonym, Timestamp,
    api::{
        delivery::{
            GroupAccess, MAX_EVIDENCE, MessageAad, Mls, ReportReason, ReportRequest, SendTargetedRequest,
            UpdateProfileKeyRequest,
        },
        queue::{FanOutMessage, NotifyClass},
    },
    crypto::sha256,
    engine::{Alarms, Ticker},
    operation::{Local, OnAlarm, Service as _},
    port::{AbuseReport, PartitionKey, Place, Snapshot, Space, Store as _, Wanted},
    time::DAY,
    wire::{Flag, Opaque, Wire},
};

use super::{Member, World, member::Commit, mls::message};
use crate::DeliveryService;

/// Does what alarms of the DS ask for.
struct Dropper;

#[async_trait]
impl Ticker for Dropper {
    fn on_alarm(&self, _: Space, kind: u8) -> OnAlarm {
        DeliveryService::on_alarm(kind)
    }

    async fn tick(&self, _: Space, _: Local) -> Result<(), Failure> {
        Ok(())
    }
}

impl World {
    /// Has done what is due.
    pub(crate) fn sweep(&self) {
        block_on(Alarms::new(self.engine.shared().clone(), Arc::new(Dropper)).run_once());
    }

    /// The group's partition, as it lies on the disk.
    pub(crate) fn partition(&self, access: &GroupAccess) -> Snapshot {
        let at = crate::kinds::group(&self.engine.ring().at_rest, &access.group);
        let partition = PartitionKey::new(Space::Ds, at.name().clone());
        block_on(self.store.read(&[Place { partition, wanted: Wanted::first(100) }])).unwrap().remove(0)
    }

    /// Lets time pass until then, with keys that are valid then.
    pub(crate) fn wait_until(&self, at: Timestamp) {
        let seconds = at.millis_since(self.now()).div_ceil(1_000);
        self.advance_days(seconds / DAY);
        self.advance_s(seconds % DAY);
    }

    /// Messages for open streams since the last time.
    pub(crate) fn whispered(&self) -> Vec<(Fqdn, FanOutMessage)> {
        std::iter::from_fn(|| self.engine.shared().ephemeral().take()).collect()
    }

    /// What the operator was told since the last time.
    pub(crate) fn reported(&self) -> Vec<AbuseReport> {
        std::iter::from_fn(|| self.engine.shared().reports().take()).collect()
    }
}

impl Member {
    /// Encrypts a message, with authenticated data.
    pub(crate) fn encrypt(&mut self, aad: MessageAad, text: &[u8]) -> Mls {
        let signer = self.signer();
        let group = self.group.as_mut().unwrap();
        group.set_aad(aad.encode().to_vec());
        message(&group.create_message(&self.provider, &signer, text).unwrap())
    }

    /// A message for one other.
    pub(crate) fn targeted(&mut self, target: Pseudonym, text: &[u8]) -> SendTargetedRequest {
        let message = self.encrypt(MessageAad::Targeted(target), text);
        let id = MessageId(sha256(&message)[..16].try_into().unwrap());
        let (access, notify) = (self.access.clone().unwrap(), NotifyClass::Urgent);
        SendTargetedRequest { access, target, message, id, ephemeral: Flag::No, notify }
    }

    /// A new profile key.
    pub(crate) fn profile_key(&self, byte: u8) -> UpdateProfileKeyRequest {
        let profile_key = Opaque::new(vec![byte; 60]).unwrap();
        UpdateProfileKeyRequest { access: self.access.clone().unwrap(), profile_key }
    }

    /// A report about somebody.
    pub(crate) fn complaint(&self, accused: Pseudonym) -> ReportRequest {
        let evidence = Opaque::<MAX_EVIDENCE>::new(b"what b said".to_vec()).unwrap();
        ReportRequest { access: self.access.clone().unwrap(), accused, reason: ReportReason::Spam, evidence }
    }

    /// A commit that removes all others.
    pub(crate) fn ending(&mut self) -> Commit {
        let group = self.group.as_ref().unwrap();
        let own = group.own_leaf_index();
        let others: Vec<u32> = group
            .members()
            .map(|it| it.index)
            .filter(|it| *it != own)
            .map(|it: LeafNodeIndex| it.u32())
            .collect();
        self.commit(Vec::new(), &others, 0)
    }
}
