//! Eleven stores that each break one clause, and one that breaks three between its replicas alone, to show that
//! the exam notices.

mod caching;
mod s1;
mod s10;
mod s11;
mod s2;
mod s3;
mod s4;
mod s5;
mod s6;
mod s7;
mod s8;
mod s9;
mod sound;

use super::Candidate;

pub use sound::Sound;

/// A fresh store that breaks the clause of this name, `s1` to `s11`.
#[must_use]
pub fn breaking(clause: &str) -> Option<Box<dyn Candidate>> {
    Some(match clause {
        "s1" => Box::new(sound::Wrapped(s1::Piecemeal::default())),
        "s2" => Box::new(sound::Wrapped(s2::Blind::default())),
        "s3" => Box::new(s3::Lagging::default()),
        "s4" => Box::new(sound::Wrapped(s4::Torn::default())),
        "s5" => Box::new(s5::Buffered::default()),
        "s6" => Box::new(sound::Wrapped(s6::Late::default())),
        "s7" => Box::new(sound::Wrapped(s7::Textual::default())),
        "s8" => Box::new(sound::Wrapped(s8::Hoarding::default())),
        "s9" => Box::new(sound::Wrapped(s9::Halved::default())),
        "s10" => Box::new(sound::Wrapped(s10::Traceless::default())),
        "s11" => Box::new(sound::Wrapped(s11::Recounting::default())),
        _ => return None,
    })
}

/// A fresh store whose replicas each judge by what they remember.
#[must_use]
pub fn caching() -> Box<dyn Candidate> {
    Box::new(caching::Caching::default())
}

/// The clauses, each of which one of these stores breaks.
pub const CLAUSES: [&str; 11] = ["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11"];
