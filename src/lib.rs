//! Phoenix: a federated, end-to-end encrypted messaging homeserver to embed.
//!
//! Give a [`Homeserver`] a store and a transport, mount its endpoints (with `phoenix-http`'s router, or your
//! own), and let [`Homeserver::run`] run somewhere. Its users then talk to the users of any other homeserver,
//! while no server learns who talks to whom.
//!
//! The library spawns nothing by itself and touches nothing global: no runtime, default TLS provider, metrics
//! recorder, tracing subscriber, signal handler or environment variable.

mod admin;
mod authority;
mod builder;
mod courier;
mod defaults;
mod documents;
mod dpop;
mod ephemeral;
mod era;
mod federating;
mod homeserver;
mod keys;
mod mailbox;
mod notices;
mod own_row;
mod push;
mod reports;
mod seal;
mod standing;
mod survey;
mod upkeep;

/// The authentication service: identities and tokens.
pub mod auth {
    pub use phoenix_as::{
        Allowances, AuthSettings as Settings, AuthorityChange, AuthorityError, LoginLimits, PublicSuffixes,
        RegistrationPolicy, RegistrationSettings, RemoteAllowance, Root, RootKey, WorkSettings,
    };
    pub use phoenix_core::{
        api::auth::{Invitation, InvitationCode},
        crypto::{Signer, Suite},
    };
}

/// The queuing service: pseudonymous queues.
pub mod queue {
    pub use phoenix_qs::QueueSettings as Settings;
}

/// The delivery service: encrypted groups.
pub mod delivery {
    pub use phoenix_core::{api::delivery::ReportReason, port::AbuseReport};
    pub use phoenix_ds::DeliverySettings as Settings;
}

/// With which homeservers this one deals, and how.
pub mod federation {
    pub use phoenix_core::federation::{
        DomainPattern, FederationPolicy, MAX_RULES, Mode, Outbox, PolicyError, Standing, Terms,
    };
}

/// What is let through in which time, and what calls cost.
pub mod rules {
    pub use phoenix_core::{
        costs::{CostError, Costs},
        engine::KeyGrace,
        limit::{LeastTaken, Limits, Rate},
    };
}

pub use admin::{Admin, AdminError, RotatedService};
pub use builder::{BuildError, Builder};
pub use defaults::{OsEntropy, SystemClock, Threads};
pub use dpop::{Visit, VisitError};
pub use era::{Era, EraError};
pub use homeserver::Homeserver;
pub use mailbox::GreetError;
pub use phoenix_core::{Fqdn, port};
pub use push::LogPush;
pub use seal::{OperatorKey, Seal, SealedBy};
pub use survey::PeerSurvey;

#[cfg(test)]
mod tests;

/// The README's program must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
