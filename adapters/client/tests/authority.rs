//! Both suites in one chain, keys in hardware, and an authority that changes while it is used.

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

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use futures::{
    executor::block_on,
    future::{Either, join_all, select},
};
use p256::ecdsa::{self, signature::RandomizedSigner};
use phoenix_client::{Client, ClientPorts, Event, Settings, Stretch};
use phoenix_core::{
    Timestamp,
    credential::AsIdentity,
    crypto::{Chance, Signature, Signer, SignerError, SigningKey, Suite, VerifyingKey, labelled},
    port::{Clock, Entropy},
    store::MemoryStore,
};
use phoenix_homeserver::{
    Homeserver, OsEntropy, SystemClock,
    auth::{AuthorityChange, Root, RootKey},
};

use support::{Net, group_of, joined, settings, text, until};

#[test]
fn clients_of_both_suites_under_authorities_of_both_suites_connect_and_share_a_group() {
    play(&[("alpha.test", Suite::Ed25519), ("beta.test", Suite::P256)], async |world| {
        let modern = world.user("alpha.test", Suite::Ed25519).await;
        let chip = world.user("alpha.test", Suite::P256).await;
        let other_modern = world.user("beta.test", Suite::Ed25519).await;
        let other_chip = world.user("beta.test", Suite::P256).await;

        for (one, other) in [(&modern, &other_chip), (&chip, &other_modern)] {
            befriend(one, other).await;
            assert_eq!(
                one.safety_number(other.user()).await.expect("connected"),
                other.safety_number(one.user()).await.expect("connected")
            );
        }
        for (one, other) in [(&modern, &other_modern), (&other_chip, &chip)] {
            befriend(one, other).await;
            let group = one.create_group().await.expect("created");
            one.invite(&group, &[other.user().clone()]).await.expect("invited");
            until(other, joined).await;
            one.send(&group, "hello").await.expect("sent");
            assert_eq!(until(other, text).await, "hello");
        }
    });
}

#[test]
fn a_client_whose_key_lives_in_hardware_does_what_others_do() {
    play(&[("alpha.test", Suite::Ed25519)], async |world| {
        let chip = Arc::new(Chip::new());
        let settings = Settings {
            suite: Suite::P256,
            signer: Some(chip.clone()),
            stretch: Stretch::least(),
            ..settings("alpha.test")
        };
        let held = Client::register(settings, world.ports()).await.expect("registered");
        held.set_up().await.expect("set up");
        let plain = world.user("alpha.test", Suite::Ed25519).await;

        befriend(&held, &plain).await;
        befriend(&plain, &world.user("alpha.test", Suite::P256).await).await;

        assert!(chip.signed.load(Ordering::Relaxed) > 5, "the key signed what the client says");
    });
}

#[test]
fn an_authority_is_rotated_from_another_process_while_it_serves_and_nobody_is_cut_off() {
    play(&[("alpha.test", Suite::Ed25519), ("beta.test", Suite::Ed25519)], async |world| {
        let (early, peer) =
            (world.user("alpha.test", Suite::Ed25519).await, world.user("beta.test", Suite::Ed25519).await);
        befriend(&early, &peer).await;
        let before = world.published("alpha.test").await;

        world.change("alpha.test", AuthorityChange::Rotate(Suite::P256)).await;
        world.pass_a_minute("alpha.test", &before).await;
        let late = world.user("alpha.test", Suite::Ed25519).await;

        // Who had a credential goes on, also with whoever knows the old keys only; who comes anew is believed.
        let group = group_of(&early, &peer).await;
        early.send(&group, "still here").await.expect("sent");
        assert_eq!(until(&peer, text).await, "still here");
        befriend(&late, &peer).await;
        befriend(&early, &late).await;
        let after = world.published("alpha.test").await;
        assert_eq!(after.statement.payload.serial, before.statement.payload.serial + 1);
        assert_eq!(after.intermediates.len(), 2);
        assert_eq!(after.intermediates[0], before.intermediates[0]);
        assert_eq!(after.intermediates[1].payload.key.suite, Suite::P256);
        assert_eq!(after.revocations.payload.signer, after.intermediates[1].fingerprint());
    });
}

#[test]
fn a_root_in_hardware_takes_over_from_one_whose_key_is_gone() {
    play(&[("alpha.test", Suite::Ed25519)], async |world| {
        let early = world.user("alpha.test", Suite::Ed25519).await;
        let before = world.published("alpha.test").await;
        let domain = "alpha.test".parse().expect("domain");
        let held = Root::issue(domain, SystemClock.now(), Arc::new(Chip::new())).expect("signed");

        let admin = world.another("alpha.test").await.admin();
        admin.change_authority(AuthorityChange::NewRoot(Suite::Ed25519), &held).await.expect("changed");
        admin
            .change_authority(AuthorityChange::Revoke(before.roots[0].fingerprint()), &held)
            .await
            .expect("changed");
        world.pass_a_minute("alpha.test", &before).await;

        let after = world.published("alpha.test").await;
        assert_eq!(after.roots.to_vec(), [held.certificate().clone()]);
        let late =
            [world.user("alpha.test", Suite::Ed25519).await, world.user("alpha.test", Suite::P256).await];
        befriend(&late[0], &late[1]).await;
        let refused = early.connect(late[0].user()).await.expect_err("its chain leads to a revoked root");
        assert!(refused.code().is_some(), "{refused:?}");
    });
}

/// Lets two users connect, the first of whom offers, whatever else reaches them meanwhile.
async fn befriend(one: &Client, other: &Client) {
    one.connect(other.user()).await.expect("offered");
    let offer = until(other, |event| match event {
        Event::Offer { offer, from, .. } if from == one.user() => Some(*offer),
        _ => None,
    });
    other.accept(offer.await).await.expect("accepted");
    let connected = until(one, |event| match event {
        Event::Connected { user, .. } if user == other.user() => Some(()),
        _ => None,
    });
    connected.await;
}

/// Plays a story on homeservers whose authorities are of these suites. Their clocks can be put forward.
fn play<F: Future<Output = ()>>(domains: &[(&str, Suite)], story: impl FnOnce(World) -> F) {
    block_on(async {
        let mut world = World::default();
        let mut runs = Vec::new();
        for (domain, suite) in domains {
            let (store, mut chance) = (MemoryStore::new(), Chance::from_seed(seed()));
            let parsed = domain.parse().expect("domain");
            let root = RootKey::generate(parsed, *suite, SystemClock.now(), &mut chance).expect("made");
            world.stores.insert((*domain).to_owned(), (store, root.root()));
            let home = world.builder(domain).root(root.root()).authority_suite(*suite);
            let home = home.build().await.expect("built");
            world.net.add(home.clone());
            world.homes.insert((*domain).to_owned(), home.clone());
            runs.push(Box::pin(home.run()));
        }
        match select(join_all(runs), Box::pin(story(world))).await {
            Either::Left(_) => panic!("a homeserver stopped"),
            Either::Right(((), _)) => {}
        }
    });
}

#[derive(Default)]
struct World {
    net: Net,
    clock: Shifted,
    stores: BTreeMap<String, (MemoryStore, Root)>,
    homes: BTreeMap<String, Homeserver>,
}

impl World {
    fn builder(&self, domain: &str) -> phoenix_homeserver::Builder {
        let builder = Homeserver::builder(domain.parse().expect("domain"));
        builder.store(self.stores[domain].0.clone()).transport(self.net.clone()).clock(self.clock.clone())
    }

    /// A homeserver on the same store that does not serve, as another process has it.
    async fn another(&self, domain: &str) -> Homeserver {
        self.builder(domain).build().await.expect("built")
    }

    async fn change(&self, domain: &str, change: AuthorityChange) {
        let root = &self.stores[domain].1;
        self.another(domain).await.admin().change_authority(change, root).await.expect("changed");
    }

    /// Lets a minute pass, in which the homeserver that serves takes over what another process changed.
    async fn pass_a_minute(&self, domain: &str, before: &AsIdentity) {
        assert_eq!(self.published(domain).await.statement, before.statement, "not before its time");
        self.clock.0.fetch_add(61_000, Ordering::Relaxed);
        for _ in 0..100 {
            if self.published(domain).await.statement != before.statement {
                return;
            }
            SystemClock.sleep_until(SystemClock.now().plus_millis(20)).await;
        }
        panic!("the homeserver did not take over");
    }

    /// What the homeserver that serves publishes.
    async fn published(&self, domain: &str) -> AsIdentity {
        self.homes[domain].admin().authority().await.expect("published")
    }

    fn ports(&self) -> ClientPorts {
        let transport = Arc::new(self.net.clone());
        ClientPorts {
            transport,
            witness: None,
            clock: Arc::new(self.clock.clone()),
            entropy: Arc::new(OsEntropy),
        }
    }

    async fn user(&self, domain: &str, suite: Suite) -> Client {
        let settings = Settings { suite, stretch: Stretch::least(), ..settings(domain) };
        let client = Client::register(settings, self.ports()).await.expect("registered");
        client.set_up().await.expect("set up");
        client
    }
}

/// The system's clock, put forward by so many milliseconds.
#[derive(Clone, Default)]
struct Shifted(Arc<AtomicU64>);

#[async_trait]
impl Clock for Shifted {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_millis(self.0.load(Ordering::Relaxed))
    }

    async fn sleep_until(&self, at: Timestamp) {
        // In short steps, so that whoever sleeps notices when the clock is put forward.
        while self.now() < at {
            let left = at.millis_since(self.now()).min(20);
            SystemClock.sleep_until(SystemClock.now().plus_millis(left)).await;
        }
    }
}

/// Signs like a secure enclave: P-256, differently each time, in DER, with `s` in either half.
struct Chip {
    key: ecdsa::SigningKey,
    public: VerifyingKey,
    signed: AtomicU64,
}

impl Chip {
    fn new() -> Self {
        let ours = SigningKey::generate(Suite::P256, &mut Chance::from_seed(seed()));
        let key = ecdsa::SigningKey::from_slice(ours.to_secret_bytes().expose()).expect("a key");
        Self { key, public: ours.verifying_key(), signed: AtomicU64::default() }
    }
}

impl Signer for Chip {
    fn verifying_key(&self) -> VerifyingKey {
        self.public.clone()
    }

    fn sign(&self, label: &str, content: &[u8]) -> Result<Signature, SignerError> {
        let message = labelled(label, content).map_err(|_| SignerError)?;
        let mut chance = Chance::from_seed(seed());
        let signature: ecdsa::Signature = self.key.sign_with_rng(&mut chance, &message);
        self.signed.fetch_add(1, Ordering::Relaxed);
        Signature::from_p256_der(signature.to_der().as_bytes()).map_err(|_| SignerError)
    }
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    OsEntropy.fill(&mut seed);
    seed
}

#[test]
fn what_the_chip_signs_differs_each_time_and_verifies() {
    let chip = Chip::new();

    let signatures =
        [chip.sign("Call", b"content"), chip.sign("Call", b"content")].map(|it| it.expect("signed"));

    assert_ne!(signatures[0], signatures[1]);
    for signature in &signatures {
        assert_eq!(chip.verifying_key().verify("Call", b"content", signature), Ok(()));
    }
}
