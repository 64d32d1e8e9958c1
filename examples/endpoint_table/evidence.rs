//! Which tests exercise an endpoint, read from the sources: those of its service's crate that call something by its
//! type (`call::<RemoveUsers>(..)`), themselves or through one helper. Nobody writes them down, so nobody is wrong.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use phoenix_core::api::{Description, EndpointId, ServiceName};

/// What the sources hold.
pub(crate) struct Evidence {
    /// The types of the endpoints.
    types: BTreeMap<EndpointId, String>,
    /// What stands in each service's test code.
    functions: BTreeMap<ServiceName, Vec<Function>>,
}

/// A function of test code.
pub(crate) struct Function {
    /// Its file, from the root of the project on.
    pub(crate) file: String,
    /// Its name.
    pub(crate) name: String,
    is_test: bool,
    text: String,
}

impl Evidence {
    /// Reads the sources of all services.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut types = BTreeMap::new();
        for file in sources(&root.join("phoenix-core/src/api"))? {
            types.extend(declared(&fs::read_to_string(file)?));
        }
        let mut functions = BTreeMap::new();
        for service in ServiceName::ALL {
            let base = root.join(format!("phoenix-{}/src", service.as_str()));
            let mut found = Vec::new();
            for file in sources(&base)?.iter().filter(|file| is_of_tests(file)) {
                let name = file.strip_prefix(root)?.to_string_lossy().into_owned();
                found.extend(functions_of(&name, &fs::read_to_string(file)?));
            }
            functions.insert(service, found);
        }
        Ok(Self { types, functions })
    }

    /// The tests of an endpoint: those first that are its operation's own, then those that call it themselves.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) fn tests_of(&self, endpoint: &Description) -> anyhow::Result<Vec<&Function>> {
        let kind = self.types.get(&endpoint.id).context("an endpoint that nobody declares")?;
        let functions = self.functions.get(&endpoint.service).context("a service without sources")?;
        let calls =
            |it: &Function| it.calls(kind) || it.text.contains(&format!("name == \"{}\"", endpoint.name));
        let direct: Vec<_> = functions.iter().filter(|it| calls(it)).collect();
        let helpers: Vec<_> = direct.iter().filter(|it| !it.is_test).copied().collect();
        let reaches = |test: &Function| {
            helpers.iter().any(|helper| test.uses(&helper.name) && is_meant(functions, test, helper))
        };
        let mut tests: Vec<_> =
            functions.iter().filter(|it| it.is_test && (calls(it) || reaches(it))).collect();
        // A stable sort: within each kind, in the order of the sources.
        let own = format!("phoenix-{}/src/op/{}", endpoint.service.as_str(), endpoint.name);
        tests.sort_by_key(|it| (!it.file.starts_with(&own), !calls(it)));
        anyhow::ensure!(!tests.is_empty(), "no test calls {kind}");
        Ok(tests)
    }
}

impl Function {
    /// Whether something is called by this type.
    fn calls(&self, kind: &str) -> bool {
        [format!("::<{kind}>("), format!("::<op::{kind}>(")].iter().any(|call| self.text.contains(call))
    }

    /// Whether a function of this name is called.
    fn uses(&self, name: &str) -> bool {
        let is_part = |it: char| it.is_alphanumeric() || it == '_';
        self.text.match_indices(name).any(|(at, _)| {
            let (before, from) = self.text.split_at(at);
            let after = from.split_at(name.len()).1;
            !before.ends_with(is_part) && (after.starts_with('(') || after.starts_with("::<"))
        })
    }
}

/// Whether it is this helper that a test means: the one of that name in its file, or in all.
fn is_meant(functions: &[Function], test: &Function, helper: &Function) -> bool {
    let of_name = functions.iter().filter(|it| it.name == helper.name);
    let near = of_name.clone().filter(|it| it.file == test.file).count();
    if near == 1 { helper.file == test.file } else { of_name.count() == 1 }
}

/// The types of endpoints that a source declares, by their numbers.
fn declared(text: &str) -> Vec<(EndpointId, String)> {
    let declare = |part: &str| {
        let (kind, rest) = part.split_once(" {")?;
        let (_, number) = rest.split_once("Description::new(")?;
        let number = number.trim_start().strip_prefix("0x")?.get(..4)?;
        Some((EndpointId(u16::from_str_radix(number, 16).ok()?), kind.to_owned()))
    };
    text.split("impl Endpoint for ").skip(1).filter_map(declare).collect()
}

/// The functions of a source, which is formatted: one ends where its indentation is reached again.
fn functions_of(file: &str, text: &str) -> Vec<Function> {
    let mut functions = Vec::new();
    let (mut is_test, mut lines) = (false, text.lines());
    while let Some(line) = lines.next() {
        let bare = line.trim_start();
        let indentation = &line[..line.len() - bare.len()];
        if bare.starts_with("#[") || bare.starts_with("//") {
            is_test |= bare == "#[test]";
            continue;
        }
        if let Some(name) = name_of(bare) {
            let mut text = line.to_owned();
            let end = format!("{indentation}}}");
            while !line.ends_with('}') && !text.ends_with(&format!("\n{end}")) {
                let Some(next) = lines.next() else { break };
                text.extend(["\n", next]);
            }
            functions.push(Function { file: file.to_owned(), name: name.to_owned(), is_test, text });
        }
        is_test = false;
    }
    functions
}

/// The name of the function that begins on a line.
fn name_of(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_keyword = |it: &str| matches!(it, "pub" | "pub(crate)" | "pub(super)" | "const" | "async");
    let end = after.find(|it: char| !it.is_alphanumeric() && it != '_')?;
    before.split_whitespace().all(is_keyword).then(|| after.split_at(end).0)
}

fn is_of_tests(file: &Path) -> bool {
    let is_named = |it: &str| matches!(it, "tests" | "tests.rs" | "testing");
    file.iter().any(|part| part.to_str().is_some_and(is_named))
}

/// All Rust sources below a directory, in order.
fn sources(below: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).with_context(|| format!("no sources at {}", below.display()))? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(sources(&path)?),
            false => found.extend(Some(path).filter(|path| path.extension().is_some_and(|it| it == "rs"))),
        }
    }
    found.sort();
    Ok(found)
}
