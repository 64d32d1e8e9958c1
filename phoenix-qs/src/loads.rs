//! What a delivery of another homeserver counts for (05, "Queue"; 08, "Inbound limits").

use phoenix_core::{
    api::queue::{DeliverRequest, QueueConfigTbs},
    federation::Federation,
    limit::{Limit, Load},
    wire::Wire,
};

use crate::config_cache::OpenedConfig;

/// What a delivery to a queue counts for: narrowest first, so that neither one member nor one group gets all of their
/// homeserver held back (05).
pub(crate) fn delivery(request: &DeliverRequest, config: &OpenedConfig, attempt: &[Load]) -> Vec<Load> {
    let QueueConfigTbs { client, config, .. } = config.payload();
    let source = &request.source;
    let bytes = u32::try_from(request.message.content.len()).unwrap_or(u32::MAX);
    let of_config = (source.clone(), *client, *config).encode();
    let (from_source, of_all) = ((source.clone(), *client).encode(), client.encode());
    let mut loads = vec![
        Load::new(Limit::Config, of_config.clone(), 1),
        Load::new(Limit::ConfigBytes, of_config, bytes),
        Load::new(Limit::SourceQueueDeliveries, from_source.clone(), 1),
        Load::new(Limit::SourceQueueBytes, from_source, bytes),
        Load::new(Limit::QueueDeliveries, of_all.clone(), 1),
        Load::new(Limit::QueueBytes, of_all, bytes),
    ];
    loads.extend_from_slice(attempt);
    loads
}

/// What a delivery counts for that goes into no queue: it was sent, opened, and is answered all the same. What the
/// operator lets its source have, or all below one domain together, stands in place of what is let through of all.
pub(crate) fn attempt(request: &DeliverRequest, federation: &Federation) -> Vec<Load> {
    let source = &request.source;
    let terms = federation.terms(source);
    let load = |limit, amount| match terms.rate(limit) {
        Some(rate) => Load::new(limit, federation.counted_as(source).encode(), amount).at(Some(rate)),
        None => Load::new(limit, source.encode(), amount),
    };
    // Its content was sent once for all recipients.
    vec![load(Limit::SourceDeliveries, 1), load(Limit::SourceBytes, request.share)]
}
