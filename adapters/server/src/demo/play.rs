//! The play: who is on the stage, and what they have made so far.

use std::{future::Future, sync::Arc};

use futures::future::join_all;
use phoenix_core::{Fqdn, GroupId};

use super::{
    cast::{Dice, Person},
    parts::{Parts, Side},
    player::Player,
    report::Stop,
    stage::{House, Stage},
};

/// Everything that steps work with.
pub(crate) struct Play {
    pub(crate) stage: Stage,
    pub(crate) dice: Dice,
    pub(crate) cast: Cast,
    /// Those who are registered: a, b and c first, then those who come for the group of eight.
    pub(crate) players: Vec<Player>,
    /// The group of a, b and c.
    pub(crate) group: Option<GroupId>,
    /// The group of eight.
    pub(crate) crowd: Option<GroupId>,
    /// Who was connected with whom, as far as the play needs it.
    pub(crate) are_connected: bool,
    /// Whether everyone has tokens.
    pub(crate) have_tokens: bool,
    /// Everything that was said.
    pub(crate) said: Vec<String>,
    parts: Arc<dyn Parts>,
}

/// Who plays, and where they live.
pub(crate) struct Cast {
    pub(crate) three: [(Person, Side); 3],
    pub(crate) crowd: [(Person, Side); 5],
}

impl Cast {
    /// Draws everyone.
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let three = [('a', Side::Alpha), ('b', Side::Beta), ('c', Side::Beta)];
        let crowd = [
            ('d', Side::Alpha),
            ('e', Side::Alpha),
            ('f', Side::Alpha),
            ('g', Side::Beta),
            ('h', Side::Beta),
        ];
        Self {
            three: three.map(|(letter, side)| (dice.person(letter), side)),
            crowd: crowd.map(|(letter, side)| (dice.person(letter), side)),
        }
    }

    /// Everyone.
    pub(crate) fn everyone(&self) -> impl Iterator<Item = &Person> {
        self.three.iter().chain(&self.crowd).map(|(person, _)| person)
    }
}

impl Play {
    /// An empty stage.
    pub(crate) fn new(stage: Stage, mut dice: Dice, parts: &Arc<dyn Parts>) -> Self {
        Self {
            stage,
            cast: Cast::draw(&mut dice),
            dice,
            players: Vec::new(),
            group: None,
            crowd: None,
            are_connected: false,
            have_tokens: false,
            said: Vec::new(),
            parts: parts.clone(),
        }
    }

    /// The homeserver of a side.
    pub(crate) const fn house(&self, side: Side) -> &House {
        match side {
            Side::Alpha => &self.stage.alpha,
            Side::Beta => &self.stage.beta,
            Side::Gamma => &self.stage.gamma,
        }
    }

    /// Registers a person and sets its client up.
    pub(crate) fn enter(
        &self,
        person: Person,
        side: Side,
    ) -> impl Future<Output = Result<Player, Stop>> + use<> {
        let domain: Fqdn = self.house(side).domain.clone();
        let (road, parts) = (self.stage.road.clone(), self.parts.clone());
        async move { Player::register(person, &domain, road, parts.as_ref()).await }
    }

    /// Lets everyone read and forget what a step that failed left behind, until nothing comes any more: it is no
    /// business of the next.
    pub(crate) async fn settle(&self) {
        for _ in 0..ROUNDS {
            let heard = join_all(self.players.iter().map(Player::drain)).await;
            if !heard.contains(&true) {
                break;
            }
        }
    }

    /// a, b and c.
    pub(crate) fn three(&self) -> Result<(&Player, &Player, &Player), Stop> {
        match self.players.as_slice() {
            [a, b, c, ..] => Ok((a, b, c)),
            _ => Err(Stop::Skipped("registered user")),
        }
    }

    /// The group of three.
    pub(crate) fn group(&self) -> Result<GroupId, Stop> {
        self.group.clone().ok_or(Stop::Skipped("group of three"))
    }

    /// Something for a player to say, remembered for the search at the end.
    pub(crate) fn line(&mut self, person: &Person) -> String {
        let number = self.said.len();
        let line = self.dice.text(person, number);
        self.said.push(line.clone());
        line
    }
}

/// How often those listen who still hear of a step that failed, a second each time.
const ROUNDS: usize = 10;
