//! F4: what honest homeservers say to each other arrives, whatever the hostile one sends at the same time.

use futures::future::join_all;
use phoenix_core::{ErrorCode, ErrorReply, Fqdn, port::Clock};

use super::hostile::Hostile;
use crate::world::{
    cast::Cast,
    play::{come_to_rest, speaker},
};

/// Members talk for some seconds, while one homeserver is flooded: all that they say must be taken, and nine times of ten
/// be shown to each of the others by the end.
pub(super) async fn flood(cast: &Cast, hostile: &Hostile) {
    let ground = &cast.ground;
    let domains = ground.domains();
    let Some(against) = ground.tape.pick(&domains) else { return };
    let until = ground.clock.now().plus_millis(SECONDS * 1_000);
    let attack = async {
        let mut held_back = drown(hostile, against, FIRST).await;
        while ground.clock.now() < until {
            held_back = held_back.saturating_add(drown(hostile, against, THEN).await);
        }
        held_back
    };
    let talk = async {
        let mut said = Vec::new();
        for second in 0..SECONDS {
            for group in &cast.groups() {
                let Some(member) = speaker(cast, group) else { continue };
                let text = format!("{} says {second} of the flood in {}", member.name, group.uuid);
                member.send(group, &text).await;
                said.push(text);
            }
            ground.clock.sleep_ms(1_000).await;
            cast.everyone_reads().await;
        }
        said
    };
    let (held_back, said) = futures::join!(attack, talk);
    let taken = ground.ledger.accepted();
    let (mut accepted, mut expected, mut shown) = (0_usize, 0_usize, 0_usize);
    for (text, spoken) in said.iter().filter_map(|text| Some((text, taken.get(text)?))) {
        accepted = accepted.saturating_add(1);
        for actor in cast.actors.iter().filter(|actor| actor.name != spoken.sender) {
            let diary = actor.diary();
            let chapter = diary.groups.get(&spoken.group);
            let Some(chapter) = chapter.filter(|it| it.must_show(spoken.made_in, spoken.epoch)) else {
                continue;
            };
            expected = expected.saturating_add(1);
            shown = shown.saturating_add(usize::from(chapter.shown(text) > 0));
        }
    }
    let told = format!("{accepted} of {} messages taken, shown {shown} times of {expected}", said.len());
    ground.log.line(format!("beside a flood of {against}, of which {held_back} were held back, {told}"));
    if held_back == 0 {
        ground.ledger.violated(format!("F4: {against} takes all of a flood"));
    }
    if accepted < said.len() || shown.saturating_mul(10) < expected.saturating_mul(9) {
        ground.ledger.violated(format!("F4: beside a flood of {against}, {told}"));
    }
    come_to_rest(cast).await;
}

/// Says so often at once that the hostile one is there. How many times that was refused, as too often.
async fn drown(hostile: &Hostile, against: &Fqdn, times: usize) -> usize {
    let flood: Vec<_> = (0..times).map(|_| hostile.sign(hostile.payload(against, Vec::new()))).collect();
    let answers = join_all(flood.iter().map(|greeting| hostile.give(against, greeting))).await;
    let is_refused = |error: &ErrorReply| error.code == ErrorCode::RateLimited;
    answers.iter().flatten().filter(|answer| answer.as_ref().is_err_and(is_refused)).count()
}

const SECONDS: u64 = 10;
/// More than a homeserver of the world takes of one source at once, and then before the next time.
const FIRST: usize = 300;
const THEN: usize = 4;
