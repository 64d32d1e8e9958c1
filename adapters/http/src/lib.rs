//! HTTPS for Phoenix: an axum router and a reqwest transport.
