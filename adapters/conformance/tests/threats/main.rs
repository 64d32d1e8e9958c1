//! The attacks of the threat table, each carried out by a hostile client or server that was built for it. A test is
//! named after its row; `docs/threats.md` links rows and tests.

#![cfg(feature = "world")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests may panic, and report"
)]

mod site;
mod t01;
mod t02;
mod t03;
mod t04;
mod t05;
mod t08;
mod t09;
mod t10;
mod t11;
mod t12;
mod t18;
mod t19;
mod t20;
mod t21;
mod t22;
mod t24;
mod t25;
mod t29;
mod t30;
