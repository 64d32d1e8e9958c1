//! What `demo` is told.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

/// Plays a conversation between homeservers.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Leaves the servers up when the play is over, and prints where they are.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Fixes names, order, contents, delays and cuts of the play.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Prints one JSON object for each step, and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
    /// The folder for the databases; a temporary one by default.
    #[arg(long)]
    pub(crate) folder: Option<PathBuf>,
    /// Where alpha.test listens; any free port by default.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) alpha: SocketAddr,
    /// Where beta.test listens; any free port by default.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) beta: SocketAddr,
    /// Where gamma.test listens; any free port by default.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) gamma: SocketAddr,
    /// The last step to play.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u8).range(1..=12))]
    pub(crate) until: u8,
}
