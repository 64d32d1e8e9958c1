//! What a copy of the database tells whoever has it (09, "Snapshot audit").

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Args;
use phoenix_conformance::audit::{Audit, Finding, Link, Part, Report, Spot, Wordlist};
use serde_json::{Value, json};

use crate::serve::read;

/// What `audit` is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The homeserver's database file, or a copy of it. It is opened for reading alone, and may be in use.
    #[arg(long, default_value = "phoenix.db")]
    db: PathBuf,
    /// What must not be found, a word a line: its kind (user, queue, group, alias, name, password, push or text), a
    /// space, and the word. `published` is what may be anywhere: domains, and public keys of servers.
    #[arg(long)]
    wordlist: Option<PathBuf>,
    /// Prints one object instead of lines for people.
    #[arg(long)]
    json: bool,
}

/// Examines a database. The exit code is 0 where nothing was found that must not be, and 1 otherwise.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if !options.db.exists() {
        bail!("{}: there is no such database", options.db.display());
    }
    let list = match &options.wordlist {
        Some(path) => {
            let text = String::from_utf8(read(path)?).with_context(|| format!("{}", path.display()))?;
            Wordlist::parse(&text).with_context(|| format!("{}", path.display()))?
        }
        None => Wordlist::default(),
    };
    let audit = Audit::new(&list.words)?.published(&list.published)?;
    let report = audit.of(&phoenix_sqlite::inspect(&options.db)?);
    let told = if options.json { object(&report).to_string() } else { lines(&report) };
    writeln!(io::stdout(), "{told}")?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn lines(report: &Report) -> String {
    let Report { partitions, rows, bytes, in_place, findings } = report;
    let mut told = format!("{partitions} partitions, {rows} rows, {bytes} bytes");
    for ((kind, space), times) in in_place {
        let _ = write!(told, "\n{} where they may be ({space:?}), {times} times", kind.name());
    }
    for finding in findings {
        let _ = write!(told, "\nfound: {finding}");
    }
    if findings.is_empty() {
        told.push_str("\nnothing was found that must not be");
    }
    told
}

fn object(report: &Report) -> Value {
    let Report { partitions, rows, bytes, in_place, findings } = report;
    let in_place = in_place.iter().map(|((kind, space), times)| {
        json!({ "word": kind.name(), "space": format!("{space:?}").to_lowercase(), "times": times })
    });
    json!({
        "partitions": partitions,
        "rows": rows,
        "bytes": bytes,
        "in_place": in_place.collect::<Vec<_>>(),
        "findings": findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn finding(finding: &Finding) -> Value {
    let Finding { link, one, other, times } = finding;
    let (clause, link, size) = match link {
        Link::Word(kind) => (Some(1), kind.name(), None),
        Link::SameBytes(length) => (Some(2), "same bytes", Some(length)),
        Link::SameTime => (Some(3), "same time", None),
        Link::Times => (Some(3), "times", None),
        Link::Order => (Some(3), "order", None),
        Link::Size(size) => (Some(4), "size", Some(size)),
        Link::SameMark => (Some(5), "same mark", None),
        Link::Remains => (None, "remains", None),
    };
    json!({
        "clause": clause,
        "link": link,
        "bytes": size,
        "in": spot(one),
        "and": other.as_ref().map(spot),
        "times": times,
    })
}

fn spot(spot: &Spot) -> Value {
    let Spot { space, kind, part } = spot;
    let (part, row) = match part {
        Part::Key => ("key", None),
        Part::Mark => ("mark", None),
        Part::Alarm => ("alarm", None),
        Part::RowKey => ("row key", None),
        Part::Row(name) => ("row", Some(name)),
    };
    json!({ "space": format!("{space:?}").to_lowercase(), "kind": kind, "part": part, "row": row })
}
