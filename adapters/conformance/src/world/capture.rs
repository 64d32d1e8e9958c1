//! Everything that is logged, by whichever crate, at whichever level; and a search of it that knows the forms in which
//! bytes are written. For audits of logs.

use std::{
    cell::RefCell,
    collections::HashSet,
    fmt::{Debug, Write as _},
    sync::{
        Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// Something that was logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Who logged it: a module of a crate, mostly.
    pub target: String,
    /// The message, and all fields with their values.
    pub text: String,
}

thread_local! {
    static LOG: RefCell<Option<Vec<Logged>>> = const { RefCell::new(None) };
}

static ALL: Mutex<Option<Vec<Logged>>> = Mutex::new(None);

/// Runs something, and gives back all that it logged in this thread. From the first time on, the process has this
/// module's subscriber; where it had one before, nothing is captured.
pub fn captured<T>(work: impl FnOnce() -> T) -> (T, Vec<Logged>) {
    listen();
    LOG.set(Some(Vec::new()));
    let done = work();
    (done, LOG.take().unwrap_or_default())
}

/// From now on keeps all that any thread of this process logs.
pub fn capture_all() {
    listen();
    *all() = Some(Vec::new());
}

/// What all threads have logged since [`capture_all`].
#[must_use]
pub fn captured_of_all() -> Vec<Logged> {
    all().clone().unwrap_or_default()
}

fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Where there is another already, that one is heard, and the audits that use this find nothing logged at all.
        let _ = tracing::subscriber::set_global_default(Everything);
        if log::set_logger(&Logger).is_ok() {
            log::set_max_level(log::LevelFilter::Trace);
        }
    });
}

/// Whether anybody wants to know.
fn is_heard() -> bool {
    LOG.try_with(|log| log.borrow().is_some()).unwrap_or(false) || all().is_some()
}

fn all() -> MutexGuard<'static, Option<Vec<Logged>>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write(target: &str, text: &str) {
    let logged = Logged { target: target.to_owned(), text: text.to_owned() };
    // A thread that is ending has no log of its own any more.
    let _ = LOG.try_with(|log| log.borrow_mut().as_mut().map(|log| log.push(logged.clone())));
    if let Some(log) = all().as_mut() {
        log.push(logged);
    }
}

/// Takes all events and spans, of all targets and levels, with all their fields.
struct Everything;

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut line = Line(span.metadata().name().to_owned());
        span.record(&mut line);
        write(span.metadata().target(), &line.0);
        Id::from_u64(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut line = Line(String::new());
        values.record(&mut line);
        write("a span", &line.0);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if !is_heard() {
            return;
        }
        let mut line = Line(event.metadata().name().to_owned());
        event.record(&mut line);
        write(event.metadata().target(), &line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, " {field}={value:?}");
    }

    // As it is: escaped, a list of numbers on many lines would not be one any more.
    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, " {field}={value}");
    }
}

/// The older kind of logging, which some crates use.
struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if is_heard() {
            write(record.target(), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// A log, ready to be searched: as it is, and every run of it that may be bytes in hexadecimal digits, in base64 or as
/// a list of numbers.
pub struct Searched {
    texts: Vec<Vec<u8>>,
    windows: HashSet<[u8; WINDOW]>,
}

impl Searched {
    /// Makes a log ready.
    #[must_use]
    pub fn new<'a>(log: impl IntoIterator<Item = &'a Logged>) -> Self {
        let log = log.into_iter().map(|logged| logged.text.as_str()).collect::<Vec<_>>().join("\n\x1e");
        let log = log.as_str();
        let mut texts = vec![log.as_bytes().to_vec()];
        // What stands before the bytes may look like a part of them.
        texts.extend(
            runs(log, |it| it.is_ascii_hexdigit()).flat_map(|run| tails(run, 2).filter_map(of_digits)),
        );
        texts.extend(runs(log, is_base64).flat_map(|run| tails(run, 4).filter_map(of_base64)));
        texts.extend(runs(log, |it| it.is_ascii_digit() || ", \n".contains(it)).map(of_numbers));
        let windows = texts.iter().flat_map(|text| text.windows(WINDOW));
        let windows = windows.filter_map(|window| window.try_into().ok()).collect();
        Self { texts, windows }
    }

    /// Whether the log shows these bytes, in one of the forms: all of them where they are few, else any sixteen in a
    /// row that are not just text or padding.
    #[must_use]
    pub fn shows(&self, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return false;
        }
        if bytes.len() < WINDOW {
            return self.texts.iter().any(|text| text.windows(bytes.len()).any(|window| window == bytes));
        }
        let is_telling = |window: &[u8]| bytes.len() <= 2 * WINDOW || is_random(window);
        bytes.windows(WINDOW).any(|window| self.windows.contains(window) && is_telling(window))
    }
}

/// Whether some bytes are neither text nor padding.
#[must_use]
pub fn is_random(window: &[u8]) -> bool {
    let distinct: HashSet<_> = window.iter().collect();
    distinct.len() > WINDOW / 2 && window.iter().any(|byte| !(b' '..=b'~').contains(byte))
}

fn runs(log: &str, is_part: impl Fn(char) -> bool + Copy) -> impl Iterator<Item = &str> {
    log.split(move |it: char| !is_part(it)).filter(|run| run.len() >= 2 * SHORTEST)
}

fn tails(run: &str, count: usize) -> impl Iterator<Item = &str> {
    (0..count).filter_map(move |start| run.get(start..))
}

fn is_base64(it: char) -> bool {
    it.is_ascii_alphanumeric() || "+/-_".contains(it)
}

fn of_digits(run: &str) -> Option<Vec<u8>> {
    run.as_bytes()
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// The last characters may be left over of something else.
fn of_base64(run: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let run = run.replace('-', "+").replace('_', "/");
    let whole = run.len() - usize::from(run.len() % 4 == 1);
    GeneralPurpose::new(&alphabet::STANDARD, config).decode(run.get(..whole)?).ok()
}

fn of_numbers(run: &str) -> Vec<u8> {
    run.split([',', ' ', '\n']).filter_map(|number| number.parse().ok()).collect()
}

/// Bytes in a row that are no coincidence.
const WINDOW: usize = 16;
/// Shorter runs are not taken for bytes.
const SHORTEST: usize = 6;

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests may panic")]
mod tests {
    use base64::{
        Engine as _,
        prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
    };

    use super::{Searched, captured};

    #[test]
    fn bytes_are_found_in_every_form_and_nothing_else_is() {
        let bytes: Vec<u8> = (0..40).map(|it: u8| it.wrapping_mul(37).wrapping_add(200)).collect();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let forms = [
            hex.clone(),
            hex.to_uppercase(),
            format!("{bytes:?}"),
            format!("{bytes:#?}"),
            BASE64_STANDARD.encode(&bytes),
            BASE64_URL_SAFE_NO_PAD.encode(&bytes),
        ];
        for form in forms {
            let (_, log) = captured(|| tracing::trace!(target: "elsewhere", secret = form));
            assert!(Searched::new(&log).shows(&bytes), "{form}");
            assert!(Searched::new(&log).shows(&bytes[5..12]), "a part of {form}");
            assert!(!Searched::new(&log).shows(&[9; 40]));
        }
        let (_, log) = captured(|| log::trace!("it is {}", "a word that nobody knows"));
        assert!(Searched::new(&log).shows(b"a word that nobody knows"));
        assert!(!Searched::new(&log).shows(b"a word that everybody knows"));
    }
}
