//! Step 10: what each operator's disk holds.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::demo::{
    disk::{DiskError, Findings, Kind, Needles, examine},
    play::Play,
    report::{Doing, Stop, Told, ensure},
};

pub(super) async fn play(play: &mut Play) -> Result<Told, Stop> {
    if play.players.is_empty() {
        return Err(Stop::Skipped("registered user"));
    }
    let needles = needles(play).doing("the search is prepared")?;
    let files = [&play.stage.alpha, &play.stage.beta].map(|house| house.file.clone());
    let search = move || files.map(|file: PathBuf| examine(&file, &needles));
    let found = tokio::task::spawn_blocking(search).await.doing("the disks are searched")?;
    let (mut told, mut sentences) = (Told::new(String::new()), Vec::new());
    for (house, findings) in [&play.stage.alpha, &play.stage.beta].into_iter().zip(found) {
        let name = house.domain.to_string();
        let findings = findings.doing(format!("the disk of {name} is searched"))?;
        judge(&name, &findings)?;
        sentences.push(sentence(&name, &findings));
        told = told.figure(&name, figures(&findings));
    }
    Ok(told.say(sentences.join("; ")))
}

/// Everything of the run that no disk may hold, but for user ids in the AS's records.
fn needles(play: &Play) -> Result<Needles, DiskError> {
    let ids: Vec<_> = play.players.iter().map(|player| player.user().uuid).collect();
    let written: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let mut things: Vec<(Kind, &[u8])> = Vec::new();
    things.extend(ids.iter().map(|id| (Kind::UserId, id.as_bytes().as_slice())));
    things.extend(written.iter().map(|id| (Kind::UserId, id.as_bytes())));
    for person in play.cast.everyone() {
        things.push((Kind::Alias, person.alias.as_bytes()));
        things.push((Kind::Name, person.name.as_bytes()));
    }
    things.extend(play.said.iter().map(|line| (Kind::Text, line.as_bytes())));
    Ok(Needles::new(things)?)
}

fn judge(name: &str, findings: &Findings) -> Result<(), Stop> {
    let wrong: Vec<String> =
        findings.wrong().map(|(kind, place, hits)| format!("{hits} {} in {place}", kind.name())).collect();
    ensure(wrong.is_empty(), || format!("{name}: {}", wrong.join(", ")))?;
    let proof = findings.inside(Kind::UserId);
    ensure(proof > 0, || format!("{name}: no user ids in the AS's records: the search does not work"))
}

fn sentence(name: &str, findings: &Findings) -> String {
    let of = |table| findings.count(table);
    format!(
        "{name}: {} AS, {} QS and {} DS records and {} spent tokens; in {} KB, {} user ids in AS \
         records and 0 outside them, 0 aliases, names and texts anywhere",
        of("auth_rows"),
        of("queue_rows"),
        of("delivery_rows"),
        of("spent_partitions"),
        findings.searched / 1_024,
        findings.inside(Kind::UserId),
    )
}

fn figures(findings: &Findings) -> Value {
    let records: Map<String, Value> =
        findings.records.iter().map(|(table, count)| (table.clone(), json!(count))).collect();
    let outside: Map<String, Value> = Kind::ALL
        .iter()
        .map(|kind| (kind.name().replace(' ', "_"), json!(findings.outside(*kind))))
        .collect();
    json!({
        "records": records,
        "searched_bytes": findings.searched,
        "user_ids_in_as_records": findings.inside(Kind::UserId),
        "found_outside_as_records": outside,
    })
}
