//! T25, oracles: whoever lacks a group's key learns neither that there is the group, nor how large it is, not even by
//! the work that its calls cause. What is counted is what is asked of the store, and what is decrypted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::executor::block_on;
use phoenix_core::{
    Epoch, KeyPackageRef, LeafIndex, MessageId, Origin, Pseudonym, Reject, Timestamp,
    api::{
        delivery::{
            AddUsersRequest, CommitRequest, ExternalCommitInfoRequest, GroupAccess, GroupInfoUpdate,
            JoinConnectionGroupRequest, ReportReason, ReportRequest, SelfRemoveRequest, SendMessageRequest,
            SendTargetedRequest, UpdateProfileKeyRequest, UpdateQueueConfigRequest, WelcomeInfoRequest,
        },
        queue::{ClientQueueConfig, NotifyClass},
    },
    crypto::{Chance, SigningKey, Suite},
    operation::{Operation, RequestOf},
    port::{Batch, Commit, PartitionKey, Place, Snapshot, Space, Store, StoreError, Wanted},
    store::MemoryStore,
    wire::{Flag, List, Opaque, Sender},
};

use super::world;
use crate::{
    AddUsers, ChangeRoles, DeleteGroup, DeliveryService, DeliverySettings, ExternalCommitInfo,
    JoinConnectionGroup, RemoveUsers, Report, Resync, SelfRemove, SendMessage, SendTargeted, UpdateClient,
    UpdateProfileKey, UpdateQueueConfig, WelcomeInfo,
    sealed::OPENED,
    testing::{Member, World, rejected},
};

#[test]
fn t25_a_wrong_key_causes_the_same_work_whether_its_group_is_unknown_or_small_or_large() {
    let bench = Bench::new();
    let commit = |access| {
        let group_info = GroupInfoUpdate { extensions: bytes(), signature: Opaque::default() };
        CommitRequest { access, commit: bytes(), group_info }
    };

    bench.compare::<UpdateClient>(by_leaf, commit);
    bench.compare::<RemoveUsers>(by_leaf, commit);
    bench.compare::<ChangeRoles>(by_leaf, commit);
    bench.compare::<DeleteGroup>(by_leaf, commit);
    bench.compare::<Resync>(by_leaf, commit);
    bench.compare::<AddUsers>(by_leaf, |access| {
        let CommitRequest { access, commit, group_info } = commit(access);
        let (joiners, batches) = (List::default(), List::default());
        AddUsersRequest { access, commit, group_info, welcome: bytes(), joiners, batches }
    });
    bench.compare::<SelfRemove>(by_leaf, |access| SelfRemoveRequest { access, proposal: bytes() });
    bench.compare::<JoinConnectionGroup>(by_key, |access| {
        let CommitRequest { access, commit, group_info } = commit(access);
        JoinConnectionGroupRequest { access, join_code: [1; 32].into(), commit, group_info, config: config() }
    });
    bench.compare::<ExternalCommitInfo>(by_leaf, |access| ExternalCommitInfoRequest {
        access,
        join_code: None,
    });
    bench.compare::<WelcomeInfo>(by_package, |access| WelcomeInfoRequest {
        access,
        epoch: Epoch(1),
        package: KeyPackageRef([1; 32]),
    });
}

#[test]
fn t25_a_wrong_key_causes_the_same_work_also_where_the_tree_is_not_read() {
    let bench = Bench::new();
    let (id, ephemeral, notify) = (MessageId([1; 16]), Flag::No, NotifyClass::Normal);

    bench.compare::<SendMessage>(by_leaf, |access| SendMessageRequest {
        access,
        message: bytes(),
        id,
        ephemeral,
        notify,
    });
    bench.compare::<SendTargeted>(by_leaf, |access| {
        let target = Pseudonym([1; 16]);
        SendTargetedRequest { access, target, message: bytes(), id, ephemeral, notify }
    });
    bench.compare::<UpdateProfileKey>(by_leaf, |access| UpdateProfileKeyRequest {
        access,
        profile_key: bytes(),
    });
    bench.compare::<UpdateQueueConfig>(by_leaf, |access| UpdateQueueConfigRequest {
        access,
        config: config(),
        ends: Flag::No,
    });
    bench.compare::<Report>(by_leaf, |access| {
        let (accused, reason) = (Pseudonym([1; 16]), ReportReason::Abuse);
        ReportRequest { access, accused, reason, evidence: bytes() }
    });
}

#[test]
fn t25_the_right_key_opens_the_door_and_then_what_the_call_is_about() {
    let bench = Bench::new();
    let [_, small, large] = &bench.accesses;
    let ask = |access: &GroupAccess| {
        let request = SendMessageRequest {
            access: access.clone(),
            message: bytes(),
            id: MessageId([1; 16]),
            ephemeral: Flag::No,
            notify: NotifyClass::Normal,
        };
        bench.ask::<SendMessage>(&request, by_leaf(access))
    };

    let (small, large) = (ask(small), ask(large));

    // The same places, and the door is as long; the roster is not.
    assert_eq!((small.1.asked.len(), &small.1.asked), (3, &large.1.asked));
    assert_eq!((small.1.opened.len(), small.1.opened[0]), (2, large.1.opened[0]));
    assert!(small.1.opened[1] < large.1.opened[1]);
}

/// What a call caused.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Work {
    /// The kinds of the places that were read, and what was wanted of them.
    asked: Vec<(u8, Wanted)>,
    /// The lengths of what was decrypted, or tried.
    opened: Vec<usize>,
}

/// A DS with a small and a large group, which counts.
struct Bench {
    world: World,
    store: Arc<Counting>,
    /// No group's, and each group's own.
    accesses: [GroupAccess; 3],
}

impl Bench {
    fn new() -> Self {
        let world = world();
        let mut made = [2, 100].map(|members| {
            let mut creator = Member::new(&world, "alpha.test");
            creator.create(&world, None).unwrap();
            creator.grow(&world, members - 1, |_| "alpha.test".to_owned());
            creator.access.unwrap()
        });
        let [small, large] = made.each_mut().map(|it| it.clone());
        let mut unknown = small.clone();
        unknown.group.uuid.0[0] ^= 1;
        let store = Arc::new(Counting { store: world.store.clone(), asked: Mutex::default() });
        Self { world, store, accesses: [unknown, small, large] }
    }

    /// Calls an endpoint for each group, with a key that is none's.
    fn compare<O: Operation<Service = DeliveryService>>(
        &self,
        sender: fn(&GroupAccess) -> Sender,
        request: impl Fn(GroupAccess) -> RequestOf<O>,
    ) {
        let works = self.accesses.clone().map(|access| {
            let access = GroupAccess { ear_key: [0x44; 32].into(), ..access };
            let sender = sender(&access);
            let (reject, work) = self.ask::<O>(&request(access), sender);
            assert_eq!(reject, Reject::NotFound);
            work
        });
        // One row of one group is read and opened; nothing of its size is.
        let [unknown, small, large] = works;
        assert_eq!((&unknown, &unknown), (&small, &large));
        let of_groups = unknown.asked.iter().filter(|(kind, _)| *kind == crate::kinds::GROUP).count();
        assert_eq!((of_groups, unknown.opened.len()), (1, 1));
    }

    fn ask<O: Operation<Service = DeliveryService>>(
        &self,
        request: &RequestOf<O>,
        sender: Sender,
    ) -> (Reject, Work) {
        let key = Member::new(&self.world, "alpha.test").key;
        let call = self.world.prepared::<O>(request, Some((sender, &key)));
        let engine = self.world.instance(self.store.clone(), DeliverySettings::default());
        self.store.asked.lock().unwrap().clear();
        OPENED.take();
        let refused = rejected(block_on(engine.call::<O>(call, Origin::default())));
        let asked = std::mem::take(&mut *self.store.asked.lock().unwrap());
        (refused, Work { asked, opened: OPENED.take() })
    }
}

/// A store that notes what is asked of the DS's space.
struct Counting {
    store: MemoryStore,
    asked: Mutex<Vec<(u8, Wanted)>>,
}

#[async_trait]
impl Store for Counting {
    async fn read(&self, places: &[Place]) -> Result<Vec<Snapshot>, StoreError> {
        let of_groups = places.iter().filter(|it| it.partition.space() == Space::Ds);
        let asked = of_groups.map(|it| (it.partition.key()[0], it.wanted.clone()));
        self.asked.lock().unwrap().extend(asked);
        self.store.read(places).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        self.store.commit(batch).await
    }

    async fn due(&self, space: Space, now: Timestamp, limit: usize) -> Result<Vec<PartitionKey>, StoreError> {
        self.store.due(space, now, limit).await
    }
}

fn by_leaf(access: &GroupAccess) -> Sender {
    Sender::Leaf(access.group.clone(), LeafIndex(0))
}

fn by_package(access: &GroupAccess) -> Sender {
    Sender::KeyPackage(access.group.clone(), KeyPackageRef([1; 32]))
}

fn by_key(_: &GroupAccess) -> Sender {
    let key = SigningKey::generate(Suite::Ed25519, &mut Chance::from_seed([5; 32]));
    Sender::NewKey(key.verifying_key())
}

fn config() -> ClientQueueConfig {
    Member::fresh_config("alpha.test", &mut Chance::from_seed([6; 32]))
}

fn bytes<const N: usize>() -> Opaque<N> {
    Opaque::new(vec![7; 60]).unwrap()
}
