//! The protocol book's share of the endpoint table: the header of each endpoint's page, and the table of all.
//!
//! `cargo run --example endpoint_table -- --write` brings `docs/protocol/` up to date with what the homeserver serves;
//! with `--check` it fails where a page is missing, differs, or has no endpoint, and where no test calls an endpoint.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use futures::executor::block_on;
use phoenix_conformance::network::Network;
use phoenix_core::{
    api::{Access, Binding, Description, Replay, SenderKind, ServiceName},
    store::MemoryStore,
    token::Class,
};
use phoenix_homeserver::Homeserver;

#[path = "endpoint_table/evidence.rs"]
mod evidence;

use evidence::{Evidence, Function};

/// An endpoint, and the tests that exercise it.
struct Row<'a> {
    endpoint: Description,
    tests: Vec<&'a Function>,
}

fn main() -> anyhow::Result<()> {
    let is_write = std::env::args().any(|argument| argument == "--write");
    let home = Homeserver::builder("alpha.test".parse()?)
        .store(MemoryStore::default())
        .transport(Network::default().transport());
    let mut table = block_on(home.build())?.descriptions();
    table.sort_by_key(|it| it.id);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (book, evidence) = (root.join("docs/protocol"), Evidence::read(root)?);

    let mut problems = Vec::new();
    let mut rows = Vec::new();
    for endpoint in &table {
        match evidence.tests_of(endpoint) {
            Ok(tests) => rows.push(Row { endpoint: *endpoint, tests }),
            Err(problem) => problems.push(problem),
        }
    }
    for row in &rows {
        let Description { service, name, .. } = row.endpoint;
        let page = book.join(service.as_str()).join(name).with_extension("md");
        problems.extend(keep(&page, "endpoint", &header(row), is_write).err());
    }
    problems.extend(keep(&book.join("README.md"), "endpoints", &overview(&rows), is_write).err());
    problems.extend(strays(&book, &table)?);
    for problem in &problems {
        println!("{problem:#}");
    }
    ensure!(problems.is_empty(), "the protocol book is not what the homeserver serves");
    println!("{} endpoints, each with its page", table.len());
    Ok(())
}

/// Brings the part of a page between its markers up to date, or checks that it is.
fn keep(page: &Path, marker: &str, expected: &str, is_write: bool) -> anyhow::Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("no page {}", page.display()))?;
    let (begin, end) = (format!("<!-- {marker} -->\n"), format!("<!-- /{marker} -->\n"));
    let parts = text.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?)));
    let (before, (found, after)) =
        parts.with_context(|| format!("no markers of `{marker}` in {}", page.display()))?;
    if found == expected {
        return Ok(());
    }
    if !is_write {
        bail!("{} differs: run this example with --write", page.display());
    }
    Ok(fs::write(page, [before, &begin, expected, &end, after].concat())?)
}

/// Pages of endpoints that there are not.
fn strays(book: &Path, table: &[Description]) -> anyhow::Result<Vec<anyhow::Error>> {
    let mut pages = BTreeSet::<PathBuf>::new();
    for service in ServiceName::ALL {
        for entry in fs::read_dir(book.join(service.as_str()))? {
            pages.insert(entry?.path());
        }
    }
    for endpoint in table {
        pages.remove(&book.join(endpoint.service.as_str()).join(endpoint.name).with_extension("md"));
    }
    Ok(pages.into_iter().map(|page| anyhow::anyhow!("no endpoint for {}", page.display())).collect())
}

/// What stands at the head of an endpoint's page.
fn header(row: &Row<'_>) -> String {
    let Row { endpoint, tests } = row;
    let Description { id, service, name: _, access, sender, token, body_limit, replay, binding } = endpoint;
    let rows = [
        ("number", format!("`0x{:04x}`", id.0)),
        ("path", format!("`{}`", path(endpoint))),
        ("audience", audience(*access).into()),
        ("sender", signer(*sender).into()),
        ("token", token.map_or("none", class).into()),
        ("body", format!("at most {}", size(*body_limit))),
        ("replay", protection(*replay).into()),
        ("binding", reached(*binding, *service)),
        ("tests", files(tests)),
    ];
    let rows = rows.map(|(name, value)| format!("| {name} | {value} |\n"));
    format!("| | |\n| --- | --- |\n{}", rows.concat())
}

/// The table of all endpoints.
fn overview(rows: &[Row<'_>]) -> String {
    let row = |Row { endpoint: it, tests }: &Row<'_>| {
        let (service, name) = (it.service.as_str(), it.name);
        let token = it.token.map_or("—", class);
        format!(
            "| `0x{:04x}` | [`{}`]({service}/{name}.md) | {} | {} | {token} | {} | {} |\n",
            it.id.0,
            path(it),
            audience(it.access),
            signer(it.sender),
            size(it.body_limit),
            names(tests),
        )
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    format!(
        "| number | path | audience | sender | token | body | tests |\n{}\n{}",
        "| --- | --- | --- | --- | --- | --- | --- |",
        rows.concat()
    )
}

/// The first tests by name.
fn names(tests: &[&Function]) -> String {
    let named: Vec<_> = tests.iter().take(NAMED).map(|test| format!("`{}`", test.name)).collect();
    let others = if tests.len() > NAMED { ", and others" } else { "" };
    format!("{}{others}", named.join(", "))
}

/// The files that tests are in.
fn files(tests: &[&Function]) -> String {
    let mut files: Vec<_> = tests.iter().map(|test| format!("`{}`", test.file)).collect();
    let mut seen = BTreeSet::new();
    files.retain(|file| seen.insert(file.clone()));
    files.join(", ")
}

/// Where it is reached over HTTP (02, "HTTP binding"; 05, "Privacy Pass").
fn path(endpoint: &Description) -> String {
    match endpoint.binding {
        Binding::PrivacyPass => "/token-request".into(),
        Binding::Post | Binding::Json | Binding::WebSocket | Binding::None => {
            endpoint.service.path(endpoint.name)
        }
    }
}

const fn audience(access: Access) -> &'static str {
    match access {
        Access::Public => "anyone, local or remote",
        Access::Local => "clients of this homeserver",
        Access::Homeserver => "other homeservers",
        Access::Internal => "the homeserver itself",
    }
}

const fn signer(sender: SenderKind) -> &'static str {
    match sender {
        SenderKind::Nobody => "nobody",
        SenderKind::Client => "`client_credential`",
        SenderKind::Alias => "`alias`",
        SenderKind::QsUser => "`qs_user`",
        SenderKind::QsClient => "`qs_client`",
        SenderKind::Leaf => "`leaf`",
        SenderKind::KeyPackage => "`key_package`",
        SenderKind::Homeserver => "`homeserver`",
        SenderKind::NewKey => "`new_key`",
        SenderKind::LeafOrNobody => "`leaf`, or nobody",
        SenderKind::QsUserOrClient => "`qs_client` or `qs_user`",
    }
}

const fn class(class: Class) -> &'static str {
    match class {
        Class::Standard => "Standard",
        Class::Home => "Home",
        Class::Contact => "Contact",
        Class::Alias => "Alias",
    }
}

const fn protection(replay: Replay) -> &'static str {
    match replay {
        Replay::Token => "the token is spent once",
        Replay::Frame => "the frame is accepted once",
        Replay::Harmless => "a repeat changes nothing",
    }
}

fn reached(binding: Binding, service: ServiceName) -> String {
    match binding {
        Binding::Post => "a POST of the Call".into(),
        Binding::Json => {
            format!("a POST of the Call; the same as JSON at `{}`", service.keys_path())
        }
        Binding::WebSocket => "a WebSocket whose first message is the Call".into(),
        Binding::PrivacyPass => {
            "a POST with the media types of RFC 9578, the frame in the header `Phoenix-Auth`".into()
        }
        Binding::None => "none".into(),
    }
}

/// Bytes as people write them.
fn size(bytes: usize) -> String {
    match bytes {
        whole if whole % (1 << 20) == 0 => format!("{} MiB", whole >> 20),
        whole if whole % (1 << 10) == 0 => format!("{} KiB", whole >> 10),
        bytes => format!("{bytes} bytes"),
    }
}

/// Tests that the table names.
const NAMED: usize = 3;
