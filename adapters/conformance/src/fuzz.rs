//! What fuzzers feed: functions over bytes, so that the same code serves `cargo fuzz`, the committed corpus and
//! the ordinary tests.
//!
//! Each panics where a property does not hold, and returns whether the input was of the kind that it looks for,
//! so that a test can tell that its corpus reaches the interesting side.

use phoenix_core::{
    ConfigId, Fingerprint, Fqdn, Timestamp, UserId, Uuid,
    api::{Endpoint, ServiceName, auth, delivery, federation, queue, tokens},
    crypto::{Chance, HpkeSecretKey, Suite},
    dpop::{
        DPOP_SCHEME, DpopClaim, DpopGrant, DpopKey, DpopRequest, DpopRules, HttpOrigin, JwkSet, ProofOf,
        TOKEN_S,
    },
    published::PublishedKeys,
    queue::{ClientRatchet, Head, QueuePolicy},
    wire::{Call, List, Opaque, Wire},
};

/// A decoder takes exactly the one encoding of a value, of every struct that crosses the wire. The first byte of
/// the input chooses the struct.
pub fn decode(input: &[u8]) -> bool {
    let Some((choice, bytes)) = input.split_first() else { return false };
    match DECODERS.get(usize::from(*choice) % DECODERS.len()) {
        Some(decoder) => decoder(bytes),
        None => false,
    }
}

/// A published document is verified or refused.
pub fn document(input: &[u8]) -> bool {
    let Ok(domain) = "alpha.test".parse::<Fqdn>() else { return false };
    let now = Timestamp::from_secs(1_790_000_000);
    ServiceName::ALL.into_iter().any(|service| PublishedKeys::decode(service, input, &domain, now).is_ok())
}

/// A client's queue takes whatever a hostile QS puts into it: entries open, or are refused, and what was opened
/// before still is.
///
/// # Panics
/// Where a refused entry moved the ratchet.
pub fn ratchet(input: &[u8]) -> bool {
    let mut ratchet = ClientRatchet::new(queue_key());
    let Ok(reply) = queue::DequeueReply::decode(input) else { return false };
    for entry in &reply.entries {
        let before = ratchet.next_seq();
        if ratchet.open(entry).is_err() {
            assert_eq!(ratchet.next_seq(), before, "a refused entry moved the ratchet");
        }
    }
    true
}

/// A domain is in the one form that the protocol knows, or refused.
///
/// # Panics
/// Where something else passed for a domain.
pub fn domain(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let Ok(domain) = text.parse::<Fqdn>() else { return false };
    assert_eq!(domain.as_str(), text);
    assert!(!text.contains("..") && text.contains('.') && text.len() <= 253);
    assert!(text.parse::<std::net::IpAddr>().is_err(), "an address passed for a domain");
    assert_eq!(Fqdn::decode(&domain.encode()), Ok(domain));
    true
}

/// A request with a DPoP token is read or refused, and so are the keys of tokens. The input is a token, a line feed and a
/// proof, or a set of keys.
///
/// # Panics
/// Where what was taken is not in the one form that it has.
pub fn dpop(input: &[u8]) -> bool {
    let has_key = JwkSet::decode(input).is_ok_and(|keys| !keys.is_empty());
    let Ok(text) = std::str::from_utf8(input) else { return has_key };
    let Some((token, proof)) = text.split_once('\n') else { return has_key };
    let (Ok(origin), Ok(audience)) = (DPOP_ORIGIN.parse::<HttpOrigin>(), "beta.test".parse::<Fqdn>()) else {
        return false;
    };
    let authorization = format!("{DPOP_SCHEME} {token}");
    let (authorization, proofs) = ([authorization.as_str()], [proof]);
    let request = DpopRequest { method: "GET", path: "/a", authorization: &authorization, proofs: &proofs };
    let rules = DpopRules { origin: &origin, audience: &audience, allowed: &|_| true, nonces: None };
    if DpopClaim::read(&request, &rules, DPOP_TIME).is_err() {
        return has_key;
    }
    let is_of_jws = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    assert!(proof.bytes().all(is_of_jws), "a second form of a proof");
    true
}

fn wire<T: Wire>(bytes: &[u8]) -> bool {
    let Ok(value) = T::decode(bytes) else { return false };
    assert_eq!(value.encode(), bytes, "two encodings of one value");
    true
}

fn request<E: Endpoint>(bytes: &[u8]) -> bool {
    wire::<E::Request>(bytes)
}

fn reply<E: Endpoint>(bytes: &[u8]) -> bool {
    wire::<E::Reply>(bytes)
}

macro_rules! both {
    ($($endpoint:ty),* $(,)?) => {
        &[
            wire::<Call>,
            wire::<phoenix_core::ErrorReply>,
            wire::<phoenix_core::credential::LeafCredential>,
            wire::<phoenix_core::credential::IdentityLink>,
            wire::<queue::QueueConfig>,
            wire::<queue::Entry>,
            wire::<queue::FanOutMessage>,
            wire::<delivery::GroupContent>,
            wire::<delivery::WelcomeBundle>,
            wire::<delivery::CommitAad>,
            $(request::<$endpoint>, reply::<$endpoint>,)*
            wire::<queue::PushToken>,
            request::<tokens::DpopToken>,
            reply::<tokens::DpopToken>,
        ]
    };
}

const DECODERS: &[fn(&[u8]) -> bool] = both![
    auth::AsCredentials,
    auth::RegistrationChallenge,
    auth::RegisterInit,
    auth::RegisterFinish,
    auth::PublishConnectionPackages,
    auth::GetConnectionPackage,
    auth::EnqueueOffer,
    auth::DequeueOffers,
    auth::AliasRegister,
    auth::AliasPublishPackages,
    auth::AliasGetPackage,
    auth::AliasEnqueueOffer,
    auth::AliasDequeue,
    tokens::IssueTokens,
    tokens::TokenKeys,
    queue::QsKeys,
    queue::CreateUser,
    queue::PublishAddPackages,
    queue::GetAddPackages,
    queue::Dequeue,
    federation::FederatedEnqueue,
    delivery::RequestGroupId,
    delivery::CreateGroup,
    delivery::UpdateQueueConfig,
    delivery::WelcomeInfo,
    delivery::ExternalCommitInfo,
    delivery::JoinConnectionGroup,
    delivery::AddUsers,
    delivery::RemoveUsers,
    delivery::UpdateClient,
    delivery::SendMessage,
    delivery::DsKeys,
    delivery::ChangeRoles,
    delivery::SelfRemove,
    delivery::Resync,
    queue::UpdateUser,
    queue::GetUser,
    queue::CreateClient,
    queue::UpdateClient,
    queue::DeleteClient,
    queue::UpdateBlocklist,
    queue::SetPushToken,
];

/// How many structs [`decode`] chooses from.
pub const DECODABLE: usize = DECODERS.len();

/// Inputs for [`decode`] that hold these bytes, for each struct that they encode.
#[must_use]
pub fn decodable(bytes: &[u8]) -> Vec<Vec<u8>> {
    let fits = DECODERS.iter().enumerate().filter(|(_, decoder)| decoder(bytes));
    fits.filter_map(|(choice, _)| u8::try_from(choice).ok())
        .map(|choice| [&[choice], bytes].concat())
        .collect()
}

/// An answer of a queue that [`ratchet`] can open, with entries of these contents.
#[must_use]
pub fn queue_of(contents: &[&[u8]]) -> Option<Vec<u8>> {
    let now = Timestamp::from_secs(1_790_000_000);
    let mut chance = Chance::from_seed([8; 32]);
    let (mut head, first) = Head::create(queue_key().public_key().clone(), now, &mut chance).ok()?;
    let mut entries = vec![first];
    for content in contents {
        let entry = queue::Entry {
            kind: queue::EntryKind::Direct,
            config: ConfigId([0; 16]),
            notify: queue::NotifyClass::Normal,
            accepted_at: now.as_secs(),
            content: Opaque::new(content.to_vec()).ok()?,
        };
        let (next, pushed) = head.push(&entry, &QueuePolicy::QS, now, &mut chance).ok()?;
        head = next;
        entries.extend(pushed);
    }
    let reply = queue::DequeueReply { entries: List::new(entries).ok()?, remaining: 0, gap_before: None };
    Some(reply.encode().to_vec())
}

/// Inputs for [`dpop`]: a token with its proof, and a set of keys.
#[must_use]
pub fn dpop_inputs() -> Option<[Vec<u8>; 2]> {
    let mut chance = Chance::from_seed([9; 32]);
    let (signer, key) = (DpopKey::generate(&mut chance), DpopKey::generate(&mut chance));
    let user = UserId { uuid: Uuid([1; 16]), domain: "alpha.test".parse().ok()? };
    let grant = DpopGrant {
        user: &user,
        client: Fingerprint([2; 32]),
        audiences: &["beta.test".parse().ok()?],
        key: &key.public(),
        issued: DPOP_TIME,
        expires: DPOP_TIME.plus_secs(TOKEN_S),
        id: [3; 16],
    };
    let token = grant.sign(&signer);
    let about = ProofOf { method: "GET", uri: "https://media.beta.test/a", token: Some(&token), nonce: None };
    let proof = key.prove(&about, DPOP_TIME, &mut chance);
    let keys = JwkSet::encode([&signer.public(), &key.public()]);
    Some([format!("{token}\n{proof}").into_bytes(), keys.to_vec()])
}

fn queue_key() -> HpkeSecretKey {
    HpkeSecretKey::generate(Suite::Ed25519, &mut Chance::from_seed([7; 32]))
}

/// The time at which [`dpop`] looks at requests, to this server.
const DPOP_TIME: Timestamp = Timestamp::from_secs(1_790_000_000);
const DPOP_ORIGIN: &str = "https://media.beta.test";
