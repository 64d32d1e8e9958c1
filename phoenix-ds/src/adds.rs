//! What each Add must bring (07, "Adds").

use std::collections::BTreeSet;

use openmls::prelude::{KeyPackage, Proposal};
use phoenix_core::{
    Failure, KeyPackageRef, Pseudonym, Reject,
    api::{
        ServiceName,
        delivery::{AddUsersRequest, Joiner, MAX_BATCH_KEYS, MemberKeys},
        mls::{QUEUE_CONFIG_EXTENSION, QueueConfigHash},
        queue::{KeyPackageBatch, SealedQueueConfig},
    },
    crypto::{HpkePublicKey, sha256},
    operation::{Context, FRAME_WINDOW_S, Need, Peers},
    time::DAY,
    wire::{Opaque, Wire},
};

use crate::{
    accept::{Invitation, Newcomer},
    commit::Staged,
    fanout::MAX_DECISION,
    mls::{self, frames::Welcome},
    rules,
    service::DeliveryService,
};

/// The keys that verify the batches of a request: one look-up for each key of each domain.
///
/// # Errors
/// [`Reject::TooLarge`] for more than the driver asks.
pub(crate) fn needs(batches: &[KeyPackageBatch]) -> Result<Vec<Need>, Reject> {
    let need = |it: &KeyPackageBatch| Need::key(it.payload.domain.clone(), ServiceName::Qs, it.payload.key);
    let needs: BTreeSet<_> = batches.iter().map(need).collect();
    if needs.len() > MAX_BATCH_KEYS {
        Err(Reject::TooLarge("batches"))
    } else {
        Ok(needs.into_iter().collect())
    }
}

/// The members that a commit adds, each checked with what came for it.
///
/// # Errors
/// [`Reject::DuplicateKey`] where a pseudonym or queue config is in the group already; [`Reject::Forbidden`] where a
/// batch does not vouch for a package; [`Reject::Malformed`] where the parts do not fit together.
pub(crate) fn newcomers(
    staged: &Staged<'_>,
    request: &AddUsersRequest,
    peers: &Peers,
    cx: &Context<DeliveryService>,
) -> Result<Vec<Newcomer>, Failure> {
    let added = staged.commit.queued_proposals().filter_map(|queued| match queued.proposal() {
        Proposal::Add(add) => Some(add.key_package()),
        _ => None,
    });
    let packages: Vec<_> = added.collect();
    let welcome = Welcome::decode(&request.welcome, staged.group.tree.suite()?)?;
    if packages.len() != request.joiners.len() || welcome.len() != packages.len() {
        return Err(Reject::Malformed("joiners").into());
    }
    // Before there is one for each joiner.
    if welcome.whole_len() > MAX_DECISION {
        return Err(Reject::TooLarge("welcome").into());
    }
    let mut seen = Seen::default();
    // The committer's own, which may be as new as those of who is added.
    if let Some(leaf) = staged.commit.update_path_leaf_node() {
        seen.pseudonyms.insert(mls::credential(leaf)?.pseudonym);
    }
    let mut newcomers = Vec::new();
    let batches = Batches { batches: &request.batches, peers, now: cx.now.as_secs() };
    for ((package, joiner), keys) in packages.into_iter().zip(&request.joiners).zip(&staged.added_keys) {
        let newcomer = newcomer(staged, package, joiner, keys, &welcome)?;
        check_lifetime(package, cx)?;
        check_config(package, joiner)?;
        rules::check_domain(&joiner.config, cx)?;
        check_new(staged, &newcomer, &mut seen)?;
        let reference = newcomer.invitation.as_ref().map(|it| it.package);
        batches.check(reference.ok_or(PACKAGE)?, joiner)?;
        newcomers.push(newcomer);
    }
    Ok(newcomers)
}

#[derive(Default)]
struct Seen {
    pseudonyms: BTreeSet<Pseudonym>,
    configs: Vec<SealedQueueConfig>,
}

fn newcomer(
    staged: &Staged<'_>,
    package: &KeyPackage,
    joiner: &Joiner,
    keys: &MemberKeys,
    welcome: &Welcome,
) -> Result<Newcomer, Reject> {
    let suite = staged.group.tree.suite()?;
    let hash = package.hash_ref(&staged.crypto).map_err(|_| PACKAGE)?;
    let reference = KeyPackageRef(hash.as_slice().try_into().map_err(|_| PACKAGE)?);
    let init_key = HpkePublicKey { suite, key: Opaque::new(package.hpke_init_key().as_slice().to_vec())? };
    let invitation = Invitation {
        package: reference,
        init_key,
        last_resort: package.last_resort().into(),
        expires: package.life_time().not_after(),
        welcome: welcome.of(&reference)?,
        attribution: joiner.attribution.clone(),
    };
    Ok(Newcomer {
        key: mls::signature_key(suite, package.leaf_node())?,
        pseudonym: mls::credential(package.leaf_node())?.pseudonym,
        config: joiner.config.clone(),
        keys: keys.clone(),
        invitation: Some(invitation),
    })
}

/// Receiving clients check lifetimes by their own clock, also months later.
fn check_lifetime(package: &KeyPackage, cx: &Context<DeliveryService>) -> Result<(), Reject> {
    let (lifetime, now) = (package.life_time(), cx.now.as_secs());
    let lasts = lifetime.not_after() >= now.saturating_add(LEAST_LIFETIME_S);
    if lifetime.not_before() <= now && lasts { Ok(()) } else { Err(Reject::Malformed("lifetime")) }
}

fn check_config(package: &KeyPackage, joiner: &Joiner) -> Result<(), Reject> {
    let extension = package.extensions().unknown(QUEUE_CONFIG_EXTENSION).ok_or(CONFIG)?;
    let expected = QueueConfigHash { hash: sha256(&joiner.config.encode()) };
    if QueueConfigHash::decode(&extension.0) == Ok(expected) { Ok(()) } else { Err(CONFIG) }
}

fn check_new(staged: &Staged<'_>, newcomer: &Newcomer, seen: &mut Seen) -> Result<(), Reject> {
    let Newcomer { pseudonym, config, .. } = newcomer;
    rules::check_pseudonym(&staged.group, &rules::roles(&staged.group)?, pseudonym)?;
    let used = staged.group.members.roster.uses_config(&config.sealed, None)
        || seen.configs.contains(&config.sealed);
    if used || !seen.pseudonyms.insert(*pseudonym) {
        return Err(Reject::DuplicateKey);
    }
    seen.configs.push(config.sealed.clone());
    Ok(())
}

struct Batches<'a> {
    batches: &'a [KeyPackageBatch],
    peers: &'a Peers,
    now: u64,
}

impl Batches<'_> {
    /// Checks that the QS of the joiner's queue handed the package out lately.
    fn check(&self, package: KeyPackageRef, joiner: &Joiner) -> Result<(), Failure> {
        let vouches = |it: &&KeyPackageBatch| it.payload.packages.contains(&package);
        let batch = self.batches.iter().find(vouches).ok_or(Reject::Malformed("batches"))?;
        let KeyPackageBatch { payload, signature } = batch;
        if payload.domain != joiner.config.domain {
            return Err(CONFIG.into());
        }
        let fresh = payload.issued_at.saturating_add(MAX_AGE_S) >= self.now;
        if !fresh || payload.issued_at > self.now.saturating_add(FRAME_WINDOW_S) {
            return Err(Reject::Forbidden.into());
        }
        let published = self.peers.queue(&payload.domain)?;
        let mut keys = published.verifying.iter();
        let valid = |it: &&phoenix_core::api::queue::ServiceKey| {
            it.id == payload.key && it.not_before <= payload.issued_at && payload.issued_at <= it.not_after
        };
        let key = keys.find(valid).ok_or(Reject::Forbidden)?;
        Ok(key.key.verify("KeyPackageBatch", &payload.encode(), signature).map_err(|_| Reject::Forbidden)?)
    }
}

const PACKAGE: Reject = Reject::Malformed("key package");
const CONFIG: Reject = Reject::Malformed("queue config");
/// A KeyPackage must be valid for so long when its owner is added (07).
const LEAST_LIFETIME_S: u64 = 120 * DAY;
/// A batch vouches for freshness for so long (07).
const MAX_AGE_S: u64 = DAY;
