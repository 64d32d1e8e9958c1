//! Credentials of the AS and of clients, and their chain (03).

mod types;

pub use types::{
    AsCredential, AsCredentialPayload, AsIdentity, AsIntermediateCredential, AsIntermediatePayload, AuthorityStatement,
    AuthorityStatementTbs, ClientCredential, ClientCredentialPayload, ConnectionPackage, ConnectionPackageTbs, Csr,
    ExpirationData, IdentityLink, IdentityLinkTbs, LeafCredential, MonthRange, PackagePayload, RevocationEntry,
    RevocationList, RevocationListTbs,
};
