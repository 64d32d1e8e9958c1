//! F4: what honest homeservers say to each other arrives, whatever the hostile one sends at the same time.

use futures::future::join_all;
use phoenix_core::{ErrorCode, ErrorReply, Fqdn};

use super::hostile::Hostile;
use crate::world::{
    cast::Cast,
    play::{come_to_rest, speaker},
};

/// Members talk for some seconds, while one homeserver is flooded: all that they say must be taken, and nine tenths of it
/// be shown by the end.
pub(super) async fn flood(cast: &Cast, hostile: &Hostile) {
    let ground = &cast.ground;
    let domains = ground.domains();
    let Some(against) = ground.tape.pick(&domains) else { return };
    let attack = async {
        let mut held_back = 0_usize;
        for wave in 0..SECONDS * WAVES {
            let times = if wave == 0 { FIRST } else { THEN };
            held_back = held_back.saturating_add(drown(hostile, against, times).await);
            ground.clock.sleep_ms(1_000 / WAVES).await;
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
    let (diaries, accepted) = (cast.diaries(), said.iter().filter(|text| taken.contains_key(*text)).count());
    let is_shown = |text: &&String| {
        let readers = diaries.iter().filter(|(name, _)| !text.starts_with(&format!("{name} ")));
        let mut chapters = readers.flat_map(|(_, diary)| diary.groups.values());
        chapters.any(|chapter| chapter.shown(text) > 0)
    };
    let shown = said.iter().filter(is_shown).count();
    ground.log.line(format!("{held_back} of a flood held back, {} said, {shown} shown", said.len()));
    if held_back == 0 {
        ground.ledger.violated(format!("F4: {against} takes all of a flood"));
    }
    if accepted < said.len() || shown.saturating_mul(10) < said.len().saturating_mul(9) {
        let what = format!("of {} messages beside a flood {accepted} were taken, {shown} shown", said.len());
        ground.ledger.violated(format!("F4: {what}"));
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
/// In a second.
const WAVES: u64 = 10;
/// More than a homeserver of the world takes of one source at once, and then in a tenth of a second.
const FIRST: usize = 300;
const THEN: usize = 20;
