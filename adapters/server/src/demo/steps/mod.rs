//! The steps of the play, in their order.

mod check;
mod connect;
mod cut;
mod disks;
mod group;
mod moving;
mod race;
mod refusals;
mod register;
mod remove;
mod talk;
mod tokens;

use super::{
    play::Play,
    report::{Stop, Told},
};

/// A step of the play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Register,
    Tokens,
    Connect,
    Group,
    Talk,
    Race,
    Refusals,
    Cut,
    Remove,
    Move,
    Check,
    Disks,
}

impl Step {
    /// All steps, in their order.
    pub(crate) const ALL: [Self; 12] = [
        Self::Register,
        Self::Tokens,
        Self::Connect,
        Self::Group,
        Self::Talk,
        Self::Race,
        Self::Refusals,
        Self::Cut,
        Self::Remove,
        Self::Move,
        Self::Check,
        Self::Disks,
    ];

    /// Its number, from 1.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Register => 1,
            Self::Tokens => 2,
            Self::Connect => 3,
            Self::Group => 4,
            Self::Talk => 5,
            Self::Race => 6,
            Self::Refusals => 7,
            Self::Cut => 8,
            Self::Remove => 9,
            Self::Move => 10,
            Self::Check => 11,
            Self::Disks => 12,
        }
    }

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Register => "three users register",
            Self::Tokens => "tokens at home and abroad",
            Self::Connect => "connections",
            Self::Group => "a group over two servers",
            Self::Talk => "sixty messages",
            Self::Race => "eight commits at once",
            Self::Refusals => "four refusals",
            Self::Cut => "the wire is cut",
            Self::Remove => "a member is removed",
            Self::Move => "a queue moves to a third server",
            Self::Check => "each server checks the others",
            Self::Disks => "what the disks hold",
        }
    }

    /// Plays the step.
    pub(crate) async fn play(self, play: &mut Play) -> Result<Told, Stop> {
        match self {
            Self::Register => register::play(play).await,
            Self::Tokens => tokens::play(play).await,
            Self::Connect => connect::play(play).await,
            Self::Group => group::play(play).await,
            Self::Talk => talk::play(play).await,
            Self::Race => race::play(play).await,
            Self::Refusals => refusals::play(play).await,
            Self::Cut => cut::play(play).await,
            Self::Remove => remove::play(play).await,
            Self::Move => moving::play(play).await,
            Self::Check => check::play(play).await,
            Self::Disks => disks::play(play).await,
        }
    }
}
