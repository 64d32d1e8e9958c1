//! Whole worlds of homeservers and clients: in one thread, in virtual time, from one tape of bytes.
//!
//! Everything that happens by chance in a run (who does what, what the network and the disks do, what the nodes
//! draw) is read from a [`Tape`]. The same tape gives the same run, so a number names it:
//! `town.play(&Tape::of_seed(7), None)` plays number 7 in a clone of a [`Town`].

mod acts;
mod aging;
mod arena;
mod audit;
mod capture;
mod cast;
mod clock;
mod commits;
mod diary;
mod disk;
mod executor;
mod federation;
mod ground;
mod issued;
mod journal;
mod keys;
mod lab;
mod ledger;
mod link;
mod log;
mod oracle;
mod planted;
mod play;
mod recorder;
mod removals;
mod settings;
mod story;
mod stream;
mod tape;
mod town;
mod weather;

pub use aging::Aging;
pub use arena::{Answer, Arena, Books};
pub use capture::{Logged, Searched, capture_all, captured, captured_of_all, is_random};
pub use clock::VirtualClock;
pub use executor::{Executor, Process, Spawner, Stuck, pause};
pub use federation::{Hostile, Move, moves};
pub use keys::Signers;
pub use lab::{Lab, Outcome};
pub use ledger::{Names, Served};
pub use oracle::{Deed, Seen, Verdict, Why};
pub use planted::Planted;
pub use play::Report;
pub use recorder::{Before, Recorded, Recorder};
pub use story::{Photograph, Story, Turn, recorded, story};
pub use tape::{Stream, Tape};
pub use town::{Size, Town, TownError};
pub use weather::{Fault, Struck};
