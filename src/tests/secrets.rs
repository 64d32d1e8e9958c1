//! How the homeserver's secrets are kept (09, "Secrets").

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use phoenix_as::{AuthKeys, AuthorityChange, RootKey};
use phoenix_core::{
    Fqdn,
    api::{ServiceName, auth::InvitationCode},
    crypto::{AtRestKey, Chance, HpkeSecretKey, SigningKey, Suite},
    port::{Clock, Inline, Vault, VaultError},
    store::MemoryStore,
    token::{Rotation, TokenKeys},
    wire::{Secret, Wire},
};

use super::{Nowhere, TestClock, home};
use crate::{AdminError, BuildError, Builder, Homeserver, OperatorKey, Seal, SealedBy, homeserver::Inner};

#[test]
fn no_secret_lies_open_where_an_operators_key_or_a_vault_seals_it() {
    let clock = TestClock::default();
    for sealed_by in ["a key", "a vault"] {
        let store = MemoryStore::new();
        let builder = builder(&store, &clock);
        let builder = match sealed_by {
            "a key" => builder.operator_key(OperatorKey::new([1; 32])),
            _ => builder.vault(TestVault::new(1)),
        };
        let home = block_on(builder.build()).unwrap();
        let Inner { auth, queue, delivery, root, .. } = &*home.inner;
        let auth = auth.ring().service.encode().unwrap();
        let root = root.to_secret_bytes().expose().to_vec().into();
        let secrets =
            [auth, queue.ring().service.encode(), delivery.ring().service.encode(), root, vec![1; 32].into()];

        let dump = store.dump();

        let rows: Vec<_> = dump.iter().flat_map(|(_, found)| &found.rows).collect();
        assert_eq!(rows.len(), 4, "three services' keys and one that seals them");
        for (_, row) in rows {
            for secret in secrets.iter().flat_map(|encoded| encoded.windows(16)) {
                assert!(!row.windows(16).any(|window| window == secret), "sealed by {sealed_by}");
            }
        }
    }
}

#[test]
fn what_was_sealed_in_one_way_opens_in_no_other() {
    let clock = TestClock::default();
    let (by_key, by_vault, open) = (MemoryStore::new(), MemoryStore::new(), MemoryStore::new());
    let key = |byte| OperatorKey::new([byte; 32]);
    let build = |builder: Builder| block_on(builder.build()).map(drop);
    build(builder(&by_key, &clock).operator_key(key(1))).unwrap();
    build(builder(&by_vault, &clock).vault(TestVault::new(1))).unwrap();
    build(builder(&open, &clock)).unwrap();

    let wrong_key = build(builder(&by_key, &clock).operator_key(key(2)));
    assert!(matches!(wrong_key, Err(BuildError::WrongKey)));
    for (wrong, is_sealed_by) in [
        (builder(&by_key, &clock).vault(TestVault::new(1)), SealedBy::Key),
        (builder(&by_key, &clock), SealedBy::Key),
        (builder(&by_vault, &clock).operator_key(key(1)), SealedBy::Vault),
        (builder(&by_vault, &clock), SealedBy::Vault),
        (builder(&open, &clock).operator_key(key(1)), SealedBy::Nothing),
        (builder(&open, &clock).vault(TestVault::new(1)), SealedBy::Nothing),
    ] {
        assert!(matches!(build(wrong), Err(BuildError::SealedOtherwise(by)) if by == is_sealed_by));
    }
    let other = build(builder(&by_vault, &clock).vault(TestVault::new(2)));
    assert!(matches!(other, Err(BuildError::Vault(VaultError::Refused))));
    build(builder(&by_key, &clock).operator_key(key(1))).unwrap();
    build(builder(&by_vault, &clock).vault(TestVault::new(1))).unwrap();
    build(builder(&open, &clock)).unwrap();
}

#[test]
fn a_vault_that_fails_or_is_none_fails_the_build_with_its_reason_and_leaves_nothing_behind() {
    for (flaw, reason) in [
        (Flaw::Away, "it cannot be reached"),
        (Flaw::Silent, "it cannot be reached"),
        (Flaw::Talkative, "it wrapped a key of 32 bytes into more than 4 KiB"),
        (Flaw::Forgetful, "it refused"),
        (Flaw::Confused, "it unwrapped another key than it had wrapped"),
    ] {
        let (store, clock) = (MemoryStore::new(), TestClock::default());
        let vault = TestVault { flaw, ..TestVault::new(1) };

        let refused = block_on(builder(&store, &clock).vault(vault.clone()).build()).map(drop).unwrap_err();

        let said = format!("the vault does not keep the key of the store's secrets: {reason}");
        assert_eq!(refused.to_string(), said, "{flaw:?}");
        assert!(store.dump().is_empty(), "{flaw:?}");
        // Nor does it get what another has.
        let home = home(&store, &clock, Some([1; 32])).unwrap();
        let resealed = block_on(home.admin().reseal(Seal::Vault(Arc::new(vault))));
        assert!(matches!(resealed, Err(AdminError::Vault(_))), "{flaw:?}");
        super::home(&store, &clock, Some([1; 32])).unwrap();
    }
}

#[test]
fn secrets_are_resealed_from_each_form_to_each_other() {
    let clock = TestClock::default();
    let seals = [
        Seal::Open,
        Seal::Key(OperatorKey::new([1; 32])),
        Seal::Key(OperatorKey::new([2; 32])),
        Seal::Vault(Arc::new(TestVault::new(1))),
        Seal::Vault(Arc::new(TestVault::new(2))),
    ];
    for (from, first) in seals.iter().enumerate() {
        for (to, second) in seals.iter().enumerate().filter(|(to, _)| *to != from) {
            let store = MemoryStore::new();
            let build = |seal: &Seal| {
                let builder = builder(&store, &clock);
                block_on(match seal {
                    Seal::Open => builder.build(),
                    Seal::Key(key) => builder.operator_key(key.clone()).build(),
                    Seal::Vault(vault) => builder.vault(vault.clone()).build(),
                })
            };
            let home = build(first).unwrap();
            let before = block_on(home.document(ServiceName::As)).unwrap();

            block_on(home.admin().reseal(second.clone())).unwrap();

            assert!(build(first).is_err(), "from {from} to {to}");
            let after = block_on(build(second).unwrap().document(ServiceName::As)).unwrap();
            assert_eq!(after, before, "from {from} to {to}");
        }
    }
}

#[test]
fn a_vault_is_asked_once_at_each_start_and_not_in_between() {
    let (store, clock) = (MemoryStore::new(), TestClock::default());
    let vault = TestVault::new(1);
    let home = block_on(builder(&store, &clock).vault(vault.clone()).build()).unwrap();
    let asked = vault.asked.load(Ordering::Relaxed);

    clock.advance_s(340 * 86_400);
    block_on(home.refresh_keys()).unwrap();

    assert_eq!((asked, vault.asked.load(Ordering::Relaxed)), (3, 3), "wrapped, tried, and unwrapped");
    block_on(builder(&store, &clock).vault(vault.clone()).build()).unwrap();
    assert_eq!(vault.asked.load(Ordering::Relaxed), 4);
}

#[test]
fn the_operator_key_changes_under_a_running_homeserver_which_goes_on() {
    let (store, clock) = (MemoryStore::new(), TestClock::default());
    let one = home(&store, &clock, Some([1; 32])).unwrap();
    let before = block_on(one.document(ServiceName::As)).unwrap();

    block_on(one.admin().reseal(Seal::Key(OperatorKey::new([2; 32])))).unwrap();

    assert!(matches!(home(&store, &clock, Some([1; 32])), Err(BuildError::WrongKey)));
    let two = home(&store, &clock, Some([2; 32])).unwrap();
    assert_eq!(block_on(two.document(ServiceName::As)).unwrap(), before);
    clock.advance_s(7 * 86_400);
    block_on(one.refresh_keys()).unwrap();
    block_on(two.refresh_keys()).unwrap();
    let documents = [&one, &two].map(|home| block_on(home.document(ServiceName::As)).unwrap());
    assert_ne!(documents[0], before, "its keys rotate on");
    assert_eq!(documents[0], documents[1]);
}

#[test]
fn a_store_belongs_to_one_domain_and_a_tool_need_not_know_which() {
    let (store, clock) = (MemoryStore::new(), TestClock::default());
    let tool = || Homeserver::existing().store(store.clone()).clock(clock.clone()).transport(Nowhere);
    let none = block_on(tool().compute(Inline).build()).map(drop);
    assert!(matches!(none, Err(BuildError::Empty)) && store.dump().is_empty());
    home(&store, &clock, None).unwrap();

    let found = block_on(tool().compute(Inline).build()).unwrap();

    assert_eq!(found.domain().as_str(), "alpha.test");
    let other = Homeserver::builder("beta.test".parse().unwrap()).store(store).clock(clock.clone());
    let other = block_on(other.transport(Nowhere).compute(Inline).build()).map(drop);
    assert!(matches!(other, Err(BuildError::OtherDomain)));
    let foreign = root("beta.test", &clock);
    let other = block_on(builder(&MemoryStore::new(), &clock).root(foreign.root()).build()).map(drop);
    assert!(matches!(other, Err(BuildError::OtherDomain)));
}

#[test]
fn two_processes_that_change_the_authority_at_once_both_succeed_one_after_the_other() {
    let (store, clock) = (MemoryStore::new(), TestClock::default());
    let root = root("alpha.test", &clock);
    let build = || block_on(builder(&store, &clock).root(root.root()).build()).unwrap();
    let (one, two) = (build(), build());
    let rotate = AuthorityChange::Rotate(Suite::Ed25519);
    let signer = root.root();

    let (a, b) = block_on(async {
        let (one, two) = (one.admin(), two.admin());
        futures::join!(one.change_authority(rotate, &signer), two.change_authority(rotate, &signer))
    });

    assert_eq!((a, b), (Ok(()), Ok(())));
    block_on(one.refresh_keys()).unwrap();
    for home in [&one, &two] {
        let identity = block_on(home.admin().authority()).unwrap();
        assert_eq!((identity.statement.payload.serial, identity.intermediates.len()), (3, 3));
    }
}

#[test]
fn no_type_that_holds_a_secret_prints_it() {
    let (clock, mut chance) = (TestClock::default(), Chance::from_seed([1; 32]));
    let (secret, signing) =
        (Secret::<32>::new(chance.bytes()), SigningKey::generate(Suite::P256, &mut chance));
    let hpke = HpkeSecretKey::generate(Suite::Ed25519, &mut chance);
    let domain: Fqdn = "alpha.test".parse().unwrap();
    let tokens = TokenKeys::generate(domain.clone(), clock.now(), &Rotation::default(), &mut chance);
    let auth = AuthKeys::generate(&domain, clock.now(), &mut chance).unwrap();
    let root = root("alpha.test", &clock);
    let at_rest = AtRestKey::new(secret.clone());
    let printed = [
        (
            format!("{secret:?} {:?} {at_rest:?}", OperatorKey::new(*secret.expose())),
            secret.expose().to_vec(),
        ),
        (format!("{signing:?}"), signing.encode().to_vec()),
        (format!("{hpke:?}"), hpke.encode().to_vec()),
        (format!("{tokens:?}"), tokens.encode().to_vec()),
        (format!("{auth:?}"), auth.encode().unwrap().to_vec()),
        (format!("{root:?} {:?}", root.root()), root.to_text().as_bytes().to_vec()),
        (format!("{:?}", InvitationCode(Secret::new([0xa7; 16]))), vec![0xa7; 16]),
        (format!("{chance:?}"), chance.bytes::<32>().to_vec()),
    ];

    for (text, secret) in printed {
        for part in secret.windows(4).filter(|part| part.iter().any(|byte| *byte > 0)) {
            let decimal = part.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
            let hex: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(!text.contains(&decimal) && !text.to_lowercase().contains(&hex), "{text}");
        }
    }
}

fn root(domain: &str, clock: &TestClock) -> RootKey {
    let mut chance = Chance::from_seed([3; 32]);
    RootKey::generate(domain.parse().unwrap(), Suite::Ed25519, clock.now(), &mut chance).unwrap()
}

fn builder(store: &MemoryStore, clock: &TestClock) -> Builder {
    let builder = Homeserver::builder("alpha.test".parse().unwrap());
    builder.store(store.clone()).clock(clock.clone()).transport(Nowhere).compute(Inline)
}

/// A vault with a key of its own.
#[derive(Clone)]
struct TestVault {
    key: AtRestKey,
    flaw: Flaw,
    asked: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// It cannot be reached.
    Away,
    /// It never answers.
    Silent,
    /// It wraps a key into more than it may.
    Talkative,
    /// It opens nothing that it wrapped.
    Forgetful,
    /// It opens another key.
    Confused,
}

impl TestVault {
    fn new(number: u8) -> Self {
        Self { key: AtRestKey::new(Secret::new([number; 32])), flaw: Flaw::None, asked: Arc::default() }
    }
}

#[async_trait]
impl Vault for TestVault {
    async fn wrap(&self, key: &Secret<32>) -> Result<Bytes, VaultError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.flaw {
            Flaw::Away => Err(VaultError::Unavailable),
            Flaw::Silent => pending().await,
            Flaw::Talkative => Ok(vec![0; 4_097].into()),
            _ => Ok(self.key.seal(b"vault", key.expose(), &mut Chance::from_seed([9; 32]))),
        }
    }

    async fn unwrap(&self, wrapped: &[u8]) -> Result<Secret<32>, VaultError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.flaw {
            Flaw::Forgetful => return Err(VaultError::Refused),
            Flaw::Confused => return Ok(Secret::new([0; 32])),
            _ => {}
        }
        let opened = self.key.open(b"vault", wrapped).map_err(|_| VaultError::Refused)?;
        opened.as_slice().try_into().map(Secret::new).map_err(|_| VaultError::Refused)
    }
}
