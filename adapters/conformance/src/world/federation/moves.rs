//! What the hostile homeserver does in ordinary runs.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use phoenix_core::{
    ErrorCode, Fqdn, KeyId, Timestamp,
    api::{
        federation::{RecipientResult, SealedDelivery, TransactionTbs},
        queue::{FanOutMessage, NotifyClass, Recipient},
    },
    crypto::{HpkeCiphertext, sha256},
    time::HOUR,
    wire::{Flag, List, Opaque, Wire},
};

use super::hostile::{Hostile, Move};

/// All moves.
#[must_use]
pub fn moves() -> Vec<Arc<dyn Move>> {
    vec![
        Arc::new(Greets),
        Arc::new(Forges),
        Arc::new(Replays),
        Arc::new(Withholds),
        Arc::new(Floods),
        Arc::new(NamesStrangers),
        Arc::new(NamesAddresses),
        Arc::new(Poisons),
        Arc::new(Relays),
        Arc::new(Misdates),
    ]
}

/// Says that it is there, as honest ones do: what it says in its own name is heard.
struct Greets;

#[async_trait]
impl Move for Greets {
    fn name(&self) -> &'static str {
        "greets"
    }

    async fn play(&self, hostile: &Hostile, against: &Fqdn) {
        let greeting = hostile.sign(hostile.payload(against, Vec::new()));
        let _ = hostile.give(against, &greeting).await;
    }
}

/// Speaks in the name of another.
struct Forges;

#[async_trait]
impl Move for Forges {
    fn name(&self) -> &'static str {
        "forges"
    }

    async fn play(&self, hostile: &Hostile, against: &Fqdn) {
        for source in hostile.others() {
            let forged = hostile.sign(TransactionTbs { source, ..hostile.payload(against, Vec::new()) });
            // Whether it is taken is watched (F1).
            let _ = hostile.give(against, &forged).await;
        }
    }
}

/// Gives again what others said, to whom it was for and to another.
struct Replays;

#[async_trait]
impl Move for Replays {
    fn name(&self) -> &'static str {
        "replays"
    }

    async fn play(&self, hostile: &Hostile, against: &Fqdn) {
        let overheard = hostile.overheard();
        for (to, outgoing) in overheard.iter().rev().take(AT_ONCE) {
            let body = outgoing.call.body.as_slice();
            let _ = hostile.give_bytes(to, body.to_vec()).await;
            if to != against {
                let _ = hostile.give_bytes(against, body.to_vec()).await;
            }
        }
    }
}

/// Has its keys be asked for, and says nothing.
struct Withholds;

#[async_trait]
impl Move for Withholds {
    fn name(&self) -> &'static str {
        "withholds"
    }

    async fn play(&self, hostile: &Hostile, against: &Fqdn) {
        hostile.be_silent(SILENCE_MS);
        let unknown = hostile.sign(TransactionTbs {
            key: KeyId(hostile.tape().bytes()),
            ..hostile.payload(against, Vec::new())
        });
        if let Some(Ok(_)) = hostile.give(against, &unknown).await {
            hostile.violated(format!("F1: {against} takes what an unknown key signed"));
        }
    }
}

/// Sends many transactions at once, full of what does not open.
struct Floods;

#[async_trait]
impl Move for Floods {
    fn name(&self) -> &'static str {
        "floods"
    }

    async fn play(&self, hostile: &Hostile, against: &Fqdn) {
        let flood = (0..AT_ONCE).map(|_| {
            let deliveries = (0..AT_ONCE).map(|_| garbage(hostile)).collect();
            hostile.sign(hostile.payload(against, deliveries))
        });
        let flood: Vec<_> = flood.collect();
        for answer in join_all(flood.iter().map(|it| hostile.give(against, it))).await.into_iter().flatten() {
            let results = answer.map(|receipt| receipt.results.into_vec()).unwrap_or_default();
            if results.iter().any(|result| !result.results.is_empty()) {
                hostile.violated(format!("F1: {against} delivers what does not open"));
            }
        }
    }
}

/// Has a homeserver look for many that there are not.
struct NamesStrangers;

#[async_trait]
impl Move for NamesStrangers {
    fn name(&self) -> &'static str {
        "names strangers"
    }

    async fn play(&self, hostile: &Hostile, against: &Fqdn) {
        let name =
            |_| format!("{:08x}.nowhere.test", u32::from_be_bytes(hostile.tape().bytes())).parse().ok();
        let strangers: Vec<Fqdn> = (0..2 * AT_ONCE).filter_map(name).collect();
        for source in &strangers {
            let forged = hostile
                .sign(TransactionTbs { source: source.clone(), ..hostile.payload(against, Vec::new()) });
            let _ = hostile.give(against, &forged).await;
        }
        // A request that arrives twice is two.
        let looked_up: Vec<u32> = strangers.iter().map(|it| hostile.look_ups(against, it)).collect();
        if looked_up.iter().any(|count| *count > 1) {
            hostile.violated(format!("F2: {against} looks for a stranger again and again: {looked_up:?}"));
        }
        let knocks: u32 = looked_up.iter().sum();
        // Two minutes may have begun meanwhile.
        if knocks > 2 * LOOK_UPS_A_MINUTE {
            hostile.violated(format!("F2: {against} knocks on {knocks} doors for one source"));
        }
    }
}

/// Names addresses where domains belong.
struct NamesAddresses;

#[async_trait]
impl Move for NamesAddresses {
    fn name(&self) -> &'static str {
        "names addresses"
    }

    async fn play(&self, hostile: &Hostile, against: &Fqdn) {
        for address in ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254"] {
            // Of the same length, so that the address can be put in its place.
            let name = format!("{}.test", "x".repeat(address.len().saturating_sub(".test".len())));
            let Ok(source) = name.parse::<Fqdn>() else { continue };
            let payload = TransactionTbs { source, ..hostile.payload(against, Vec::new()) };
            let body = replaced(hostile.sign(payload).encode().to_vec(), name.as_bytes(), address.as_bytes());
            match hostile.give_bytes(against, body).await {
                Some(Ok(_)) => hostile.violated(format!("F6: {against} takes {address} for a homeserver")),
                Some(Err(error)) if error.code != ErrorCode::Malformed && is_answer(error.code) => {
                    hostile.violated(format!("F6: {against} answers {:?} to {address}", error.code));
                }
                Some(Err(_)) | None => {}
            }
        }
    }
}

/// Sends deliveries that are bad in every way, among them such as look right to the end.
struct Poisons;

#[async_trait]
impl Move for Poisons {
    fn name(&self) -> &'static str {
        "poisons"
    }

    async fn play(&self, hostile: &Hostile, against: &Fqdn) {
        let mut deliveries = vec![garbage(hostile)];
        deliveries.extend(hostile.seal(against, b"no message").await);
        deliveries.extend(hostile.seal(against, &message(Vec::new()).encode()).await);
        let mut cut_off = message(Vec::new()).encode().to_vec();
        cut_off.truncate(cut_off.len() / 2);
        deliveries.extend(hostile.seal(against, &cut_off).await);
        let poison = hostile.sign(hostile.payload(against, deliveries));
        if let Some(Ok(receipt)) = hostile.give(against, &poison).await
            && receipt.results.iter().any(|it| it.results.contains(&RecipientResult::Delivered))
        {
            hostile.violated(format!("F1: {against} delivers poison"));
        }
    }
}

/// Uses the queue configs that others may use: of users of the homeserver, and of others, to which it is to relay.
struct Relays;

#[async_trait]
impl Move for Relays {
    fn name(&self) -> &'static str {
        "relays"
    }

    async fn play(&self, hostile: &Hostile, against: &Fqdn) {
        let stolen = hostile.stolen().into_iter().filter(|config| !config.any.is_set());
        let recipients = stolen.map(|config| Recipient { any: config.any, config: config.sealed });
        let recipients: Vec<_> = recipients.take(AT_ONCE).collect();
        if recipients.is_empty() {
            return;
        }
        let Some(delivery) = hostile.seal(against, &message(recipients).encode()).await else { return };
        let relayed = hostile.sign(hostile.payload(against, vec![delivery]));
        if let Some(Ok(receipt)) = hostile.give(against, &relayed).await
            && receipt.results.iter().any(|it| it.results.contains(&RecipientResult::Delivered))
        {
            hostile.violated(format!("F1: {against} delivers through configs that are for others"));
        }
    }
}

/// Sends what is of another time.
struct Misdates;

#[async_trait]
impl Move for Misdates {
    fn name(&self) -> &'static str {
        "misdates"
    }

    async fn play(&self, hostile: &Hostile, against: &Fqdn) {
        let now = hostile.now().as_secs();
        for sent_at in [now.saturating_sub(2 * HOUR), now.saturating_add(2 * HOUR)] {
            let payload = TransactionTbs { sent_at, ..hostile.payload(against, Vec::new()) };
            if let Some(Ok(_)) = hostile.give(against, &hostile.sign(payload)).await {
                hostile.violated(format!("F1: {against} takes a transaction of another time"));
            }
        }
    }
}

/// A delivery that nobody opens.
fn garbage(hostile: &Hostile) -> SealedDelivery {
    let noise = hostile.tape().bytes::<32>();
    let ciphertext = Opaque::new(sha256(&noise).to_vec()).unwrap_or_default();
    SealedDelivery {
        id: hostile.tape().bytes(),
        key: KeyId(hostile.tape().bytes()),
        sealed: HpkeCiphertext { enc: Opaque::new(noise.to_vec()).unwrap_or_default(), ciphertext },
    }
}

fn message(recipients: Vec<Recipient>) -> FanOutMessage {
    FanOutMessage {
        notify: NotifyClass::Normal,
        ephemeral: Flag::No,
        accepted_at: Timestamp::default().as_secs(),
        recipients: List::new(recipients).unwrap_or_default(),
        content: Opaque::new(b"what mallory says".to_vec()).unwrap_or_default(),
    }
}

fn replaced(mut bytes: Vec<u8>, what: &[u8], with: &[u8]) -> Vec<u8> {
    let found = bytes.windows(what.len()).position(|part| part == what);
    if let Some(place) = found.and_then(|at| bytes.get_mut(at..at.saturating_add(what.len()))) {
        place.copy_from_slice(with);
    }
    bytes
}

/// Whether a refusal is about what was asked, and not about the state of who was.
const fn is_answer(code: ErrorCode) -> bool {
    !matches!(code, ErrorCode::Unavailable | ErrorCode::RateLimited)
}

const AT_ONCE: usize = 8;
const SILENCE_MS: u64 = 60_000;
/// Strangers that one source may have looked up in a minute (08).
const LOOK_UPS_A_MINUTE: u32 = 10;
