//! What a call counts for its sender and its group (05, "Group pseudonym"), and for both of them towards each other
//! homeserver that it goes to (08, "Inbound limits"). They are told apart by keyed hashes in memory, so that no pseudonym
//! is followed.

use std::collections::BTreeMap;

use phoenix_core::{
    Fqdn, GroupId, LeafIndex, Sent,
    limit::{Limit, Load, Loads},
    operation::Context,
    wire::Wire,
};

use crate::{roster::Member, service::DeliveryService};

/// A message of a member to others.
pub(crate) fn message<'a>(
    of: (&GroupId, LeafIndex),
    to: impl IntoIterator<Item = &'a Member>,
    bytes: usize,
    cx: &Context<DeliveryService>,
) -> Loads {
    let towards = [Limit::LeafDestination, Limit::GroupDestination];
    loads(of, Limit::LeafMessages, abroad(of, &towards, (to, bytes), cx))
}

/// Something else of a member that the whole group has to deal with. Towards other homeservers it counts for the member
/// alone: members that flood cannot keep the others from removing them.
pub(crate) fn change<'a>(
    of: (&GroupId, LeafIndex),
    to: impl IntoIterator<Item = &'a Member>,
    bytes: usize,
    cx: &Context<DeliveryService>,
) -> Loads {
    loads(of, Limit::LeafChanges, abroad(of, &[Limit::LeafDestination], (to, bytes), cx))
}

/// Something of somebody who is no member yet.
pub(crate) fn join(group: &GroupId) -> Loads {
    Loads::All(vec![Load::new(Limit::Group, group.encode(), 1)])
}

/// Narrowest first.
fn loads((group, leaf): (&GroupId, LeafIndex), limit: Limit, abroad: Vec<Load>) -> Loads {
    let own = Load::new(limit, (group.clone(), leaf).encode(), 1);
    let of_group = Load::new(Limit::Group, group.encode(), 1);
    Loads::All([own, of_group].into_iter().chain(abroad).collect())
}

/// For how long each other homeserver is busy with it.
fn abroad<'a>(
    (group, leaf): (&GroupId, LeafIndex),
    limits: &[Limit],
    (to, bytes): (impl IntoIterator<Item = &'a Member>, usize),
    cx: &Context<DeliveryService>,
) -> Vec<Load> {
    let mut domains: BTreeMap<&Fqdn, usize> = BTreeMap::new();
    for domain in to.into_iter().map(|member| &member.config.domain).filter(|domain| **domain != cx.domain) {
        let deliveries = domains.entry(domain).or_default();
        *deliveries = deliveries.saturating_add(1);
    }
    let mut loads = Vec::new();
    for (domain, deliveries) in domains {
        let amount = cx.advertised.least_busy_us(domain, Sent { deliveries, bytes }, cx.limits.least_taken);
        for limit in limits {
            let key = match limit {
                Limit::LeafDestination => (domain.clone(), group.clone(), leaf).encode(),
                _ => (domain.clone(), group.clone()).encode(),
            };
            loads.push(Load::new(*limit, key, amount));
        }
    }
    loads
}

#[cfg(test)]
mod tests;
