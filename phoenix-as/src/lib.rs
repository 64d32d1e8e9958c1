//! The authentication service: identities and tokens.
