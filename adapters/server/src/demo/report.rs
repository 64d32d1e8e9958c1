//! What the play tells.

use std::{fmt::Display, io::Write, time::Duration};

use serde_json::{Map, Value, json};

/// How the lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A line for a person.
    Text,
    /// An object a line.
    Json,
}

/// Prints a line after each step.
pub(crate) struct Report {
    format: Format,
    out: Box<dyn Write + Send>,
    all_held: bool,
}

/// What happened in a step whose assertions held.
#[derive(Debug)]
pub(crate) struct Told {
    text: String,
    figures: Map<String, Value>,
}

/// Why a step ended before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something did not hold.
    Failed(String),
    /// What it needs was not made, since an earlier step failed.
    Skipped(&'static str),
}

impl Report {
    /// Prints to `out`.
    pub(crate) fn new(format: Format, out: Box<dyn Write + Send>) -> Self {
        Self { format, out, all_held: true }
    }

    /// Prints what came of a step.
    pub(crate) fn tell(&mut self, (number, name): (u8, &str), outcome: Result<Told, Stop>, took: Duration) {
        self.all_held &= outcome.is_ok();
        let line = match self.format {
            Format::Text => text(number, name, &outcome, took),
            Format::Json => object(number, name, outcome, took),
        };
        self.print(&line);
    }

    /// Prints a line that belongs to no step: not among objects, but where a person may see it.
    pub(crate) fn remark(&mut self, line: &str) {
        match self.format {
            Format::Text => self.print(line),
            // Where nobody reads, nothing is lost.
            Format::Json => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }

    /// Whether everything held so far.
    pub(crate) const fn all_held(&self) -> bool {
        self.all_held
    }

    fn print(&mut self, line: &str) {
        // Where nobody reads, the exit code still tells.
        let _ = writeln!(self.out, "{line}");
        let _ = self.out.flush();
    }
}

impl Told {
    /// A sentence for people.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), figures: Map::new() }
    }

    /// With another sentence.
    #[must_use]
    pub(crate) fn say(mut self, text: String) -> Self {
        self.text = text;
        self
    }

    /// With a figure for programs.
    #[must_use]
    pub(crate) fn figure(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.figures.insert(name.to_owned(), value.into());
        self
    }
}

impl Stop {
    /// A failure, in words.
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self::Failed(reason.into())
    }
}

/// Fails unless something holds; says what it was.
pub(crate) fn ensure(holds: bool, reason: impl FnOnce() -> String) -> Result<(), Stop> {
    if holds { Ok(()) } else { Err(Stop::Failed(reason())) }
}

/// Says what was being done when something went wrong.
pub(crate) trait Doing<T> {
    /// Fails with what was being done, and why it did not succeed.
    fn doing(self, what: impl Display) -> Result<T, Stop>;
}

impl<T, E: Display> Doing<T> for Result<T, E> {
    fn doing(self, what: impl Display) -> Result<T, Stop> {
        self.map_err(|error| Stop::Failed(format!("{what}: {error}")))
    }
}

/// Milliseconds with one digit behind the point, for lines and figures.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

fn text(number: u8, name: &str, outcome: &Result<Told, Stop>, took: Duration) -> String {
    let head = format!("{number:>2}. {name}");
    match outcome {
        Ok(told) => format!("{head}: {} ({:.2} s) ... ok", told.text, took.as_secs_f64()),
        Err(Stop::Failed(reason)) => format!("{head} ... FAIL: {reason}"),
        Err(Stop::Skipped(missing)) => format!("{head} ... skipped: there is no {missing}"),
    }
}

/// With what every line has first: a person who reads it is thankful.
fn object(number: u8, name: &str, outcome: Result<Told, Stop>, took: Duration) -> String {
    let (ok, name) = (outcome.is_ok(), json!(name));
    let mut figures = match outcome {
        Ok(told) => told.figures,
        Err(Stop::Failed(reason)) => Map::from_iter([("reason".to_owned(), json!(reason))]),
        Err(Stop::Skipped(missing)) => {
            Map::from_iter([("skipped".to_owned(), json!(format!("there is no {missing}")))])
        }
    };
    figures.insert("took_ms".to_owned(), json!(millis(took)));
    let figures = Value::Object(figures).to_string();
    format!(
        "{{\"step\":{number},\"name\":{name},\"ok\":{ok},{}",
        figures.strip_prefix('{').unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use std::time::Duration;

    use serde_json::Value;

    use super::{Stop, Told, object, text};

    #[test]
    fn a_line_for_programs_is_an_object_with_step_name_and_ok_first() {
        let line =
            object(3, "a \"step\"", Ok(Told::new("it held").figure("count", 7)), Duration::from_millis(12));

        let read: Value = serde_json::from_str(&line).unwrap();
        assert!(line.starts_with("{\"step\":3,\"name\":"), "{line}");
        assert_eq!(
            (&read["name"], &read["ok"], &read["count"]),
            (&"a \"step\"".into(), &true.into(), &7.into())
        );
    }

    #[test]
    fn only_what_held_ends_in_ok() {
        let line = |outcome| text(1, "a step", &outcome, Duration::from_secs(1));

        assert!(line(Ok(Told::new("it held"))).ends_with(" ... ok"));
        assert!(line(Err(Stop::failed("it broke"))).ends_with(" ... FAIL: it broke"));
        assert!(line(Err(Stop::Skipped("group"))).ends_with(" ... skipped: there is no group"));
    }
}
