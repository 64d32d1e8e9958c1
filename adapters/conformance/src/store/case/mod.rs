//! The cases, a file a clause.

pub(super) mod s1;
pub(super) mod s10;
pub(super) mod s11;
pub(super) mod s2;
pub(super) mod s3;
pub(super) mod s4;
pub(super) mod s5;
pub(super) mod s6;
pub(super) mod s7;
pub(super) mod s8;
pub(super) mod s9;
