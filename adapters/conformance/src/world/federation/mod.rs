//! Federation under the worst conditions: homeservers that are cut off from each other in every shape, beside one that
//! does what it likes.

mod flood;
mod hostile;
mod moves;
mod partition;
mod play;
mod watch;

pub(crate) use hostile::{DOMAIN, document, transaction};
pub use hostile::{Hostile, Move};
pub use moves::moves;
pub(crate) use watch::{RECEIPT, Watch, appends_to_lane, names_a_bad_one};
