//! HTTPS for Phoenix: an axum router, a server for it, and a reqwest transport.
//!
//! [`router`] puts a homeserver into an embedder's own axum program; [`Server`] serves it over TLS with the bounds of the
//! specification (02, "HTTP binding"). [`HttpTransport`] reaches other homeservers, for homeservers and clients alike
//! (08, "Discovery"), and opens queue streams; [`FederationCheck`] says what keeps it from that. [`WebPush`] wakes clients
//! through the push services of the web. [`Dpop`] tells an embedder's own API which user of which homeserver calls it.

mod address;
mod admission;
mod dpop;
mod error;
mod home;
mod hook;
mod privacy_pass;
mod push;
mod router;
mod serve;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod transport;
mod well_known;

pub use dpop::{Dpop, DpopCaller, DpopOptions, DpopRefusal};
pub use hook::{HookError, RegistrationHook};
pub use push::{VapidError, VapidKey, WebPush};
pub use router::{RouterOptions, StreamTimes, router, router_with};
pub use serve::{Server, ServerLimits};
pub use tls::{ServerTls, TlsError};
pub use transport::{
    CheckOutcome, CheckReport, CheckStep, FederationCheck, HttpTransport, HttpTransportBuilder, NameService,
    StepName, SystemNames,
};

/// The media type of calls and replies (02).
pub const MEDIA_TYPE: &str = "application/vnd.phoenix.v1";
/// The media type of errors (RFC 9457).
pub const PROBLEM_TYPE: &str = "application/problem+json";
