//! Step 12: what each operator's disk holds.

use std::path::{Path, PathBuf};

use phoenix_conformance::audit::{Audit, AuditError, Kind, Report, Word, Words};
use serde_json::{Map, Value, json};

use crate::demo::{
    disk::{DiskError, Findings, examine},
    play::Play,
    report::{Doing, Stop, Told, ensure},
};

pub(super) async fn play(play: &mut Play) -> Result<Told, Stop> {
    if play.players.is_empty() {
        return Err(Stop::Skipped("registered user"));
    }
    let (words, audit) = search(play).doing("the search is prepared")?;
    let files = play.stage.houses().map(|house| house.file.clone());
    let search = move || files.map(|file: PathBuf| searched(&file, &words, &audit));
    let found = tokio::task::spawn_blocking(search).await.doing("the disks are searched")?;
    let (mut told, mut sentences) = (Told::new(String::new()), Vec::new());
    for (house, findings) in play.stage.houses().into_iter().zip(found) {
        let name = house.domain.to_string();
        let (findings, report) = findings.doing(format!("the disk of {name} is searched"))?;
        judge(&name, &findings)?;
        let proof = findings.inside(Kind::User);
        let has_users = play.players.iter().any(|player| player.user().domain == house.domain);
        ensure(proof > 0 || !has_users, || {
            format!("{name}: no user ids in the AS's records: the search does not work")
        })?;
        ensure(report.is_clean(), || {
            let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
            format!("{name} can be joined: {}", findings.join("; "))
        })?;
        sentences.push(sentence(&name, &findings));
        told = told.figure(&name, figures(&findings));
    }
    Ok(told.say(sentences.join("; ")))
}

/// Searches a file for words, and its rows for what joins them.
fn searched(file: &Path, words: &Words, audit: &Audit) -> Result<(Findings, Report), DiskError> {
    Ok((examine(file, words)?, audit.of(&phoenix_sqlite::inspect(file)?)))
}

/// Looks for everything of the run that no disk may hold, but for user ids in the AS's records.
fn search(play: &Play) -> Result<(Words, Audit), AuditError> {
    let mut words = Vec::new();
    for player in &play.players {
        words.push(Word::new(Kind::User, player.user().uuid.as_bytes())?);
    }
    for person in play.cast.everyone() {
        words.push(Word::new(Kind::Alias, &person.alias)?);
        words.push(Word::new(Kind::Name, &person.name)?);
    }
    for line in &play.said {
        words.push(Word::new(Kind::Text, line)?);
    }
    let domains = play.stage.houses().map(|house| house.domain.as_str().as_bytes().to_vec());
    Ok((Words::new(&words)?, Audit::new(&words)?.published(&domains)?))
}

fn judge(name: &str, findings: &Findings) -> Result<(), Stop> {
    let wrong: Vec<String> =
        findings.wrong().map(|(kind, place, hits)| format!("{hits} {} in {place}", kind.name())).collect();
    ensure(wrong.is_empty(), || format!("{name}: {}", wrong.join(", ")))
}

fn sentence(name: &str, findings: &Findings) -> String {
    let of = |table| findings.count(table);
    format!(
        "{name}: {} AS, {} QS and {} DS records and {} spent tokens; in {} KB, {} user ids in AS \
         records and 0 outside them, 0 aliases, names and texts anywhere, and nothing that joins users to queues and groups",
        of("auth_rows"),
        of("queue_rows"),
        of("delivery_rows"),
        of("spent_rows"),
        findings.searched / 1_024,
        findings.inside(Kind::User),
    )
}

fn figures(findings: &Findings) -> Value {
    let records: Map<String, Value> =
        findings.records.iter().map(|(table, count)| (table.clone(), json!(count))).collect();
    let outside: Map<String, Value> =
        SEARCHED.iter().map(|kind| (kind.name().replace(' ', "_"), json!(findings.outside(*kind)))).collect();
    json!({
        "records": records,
        "searched_bytes": findings.searched,
        "user_ids_in_as_records": findings.inside(Kind::User),
        "found_outside_as_records": outside,
    })
}

/// What is searched for.
const SEARCHED: [Kind; 4] = [Kind::User, Kind::Alias, Kind::Name, Kind::Text];
