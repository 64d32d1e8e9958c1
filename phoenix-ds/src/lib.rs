//! The delivery service: encrypted groups.
