//! Credentials of the AS and of clients, and their chain (03).

mod chain;
mod issue;
mod link;
mod package;
mod safety;
mod types;
mod verified;

pub use chain::AsKeys;
pub use link::LINK_SIZE;
pub use safety::safety_number;
pub use types::{
    AsCredential, AsCredentialPayload, AsIdentity, AsIntermediateCredential, AsIntermediatePayload,
    AuthorityStatement, AuthorityStatementTbs, ClientCredential, ClientCredentialPayload, ConnectionPackage,
    ConnectionPackageTbs, Csr, ExpirationData, IdentityLink, IdentityLinkTbs, LeafCredential,
    MAX_AUTHORITIES, MAX_REVOCATIONS, MonthRange, PackagePayload, RevocationDelta, RevocationDeltaTbs,
    RevocationEntry, RevocationList, RevocationListTbs,
};
pub use verified::VerifiedClientCredential;

#[cfg(test)]
pub(crate) mod tests;
