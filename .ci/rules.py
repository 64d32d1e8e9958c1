#!/usr/bin/env python3
"""The rules of the house that no compiler checks: who may depend on whom, how long a file may be, what must not
stand in it. Prints what is broken and exits with 1."""

import json
import pathlib
import re
import subprocess
import sys

PURE = ["phoenix-core", "phoenix-as", "phoenix-qs", "phoenix-ds"]
# No runtime, socket, HTTP or SQL below the adapters.
FOREIGN = {
    "tokio", "async-std", "smol", "async-io", "async-executor", "mio", "hyper", "hyper-util", "axum", "reqwest",
    "rustls", "native-tls", "rusqlite", "libsqlite3-sys", "sqlx", "sqlx-core", "tokio-postgres", "diesel",
    "socket2", "h2", "tonic",
}
# What each of our crates may use of the others.
ALLOWED = {
    "phoenix-core": set(),
    "phoenix-as": {"phoenix-core"},
    "phoenix-qs": {"phoenix-core"},
    "phoenix-ds": {"phoenix-core"},
    "phoenix-homeserver": {"phoenix-core", "phoenix-as", "phoenix-qs", "phoenix-ds"},
    "phoenix-sqlite": {"phoenix-core"},
    "phoenix-client": {"phoenix-core"},
    "phoenix-http": {"phoenix-core", "phoenix-homeserver"},
    "phoenix-conformance": {"phoenix-core", "phoenix-homeserver", "phoenix-client"},
    "phoenix-server": {
        "phoenix-core", "phoenix-homeserver", "phoenix-http", "phoenix-sqlite", "phoenix-client",
        "phoenix-conformance",
    },
}
# Waiting, clocks, files, sockets, threads and the environment stay out of the pure sources.
IMPURE = re.compile(r"\basync\s+(fn|move|\{)|\.await\b|std::(fs|net::(Tcp|Udp)|thread|env|process)|SystemTime|Instant::now|OsRng|thread_rng")
# Third parties that stay in their corner of the house.
CORNERS = {
    "openmls": {"phoenix-ds", "phoenix-client", "phoenix-conformance:dev"},
    "mls-rs": {"phoenix-conformance:dev"},
    "mls-rs-core": {"phoenix-conformance:dev"},
    "mls-rs-crypto-rustcrypto": {"phoenix-conformance:dev"},
    "opaque-ke": {"phoenix-as", "phoenix-client"},
    "axum": {"phoenix-http", "phoenix-server", "phoenix-homeserver:dev"},
    "reqwest": {"phoenix-http"},
    "rusqlite": {"phoenix-sqlite", "phoenix-server"},
}
PLACES = re.compile(r"(^|[^A-Za-z0-9_.])/(work|root|home)/")
MAX_LINES = 500
MAX_PORT_METHODS = 4
# The table of threats, and how the tests of its rows are named.
THREATS = pathlib.Path("docs/threats.md")
ATTACK = r"t\d+_\w+"
UNFINISHED = re.compile(r"TODO|FIXME|XXX|todo!\(|unimplemented!\(|#\[ignore|dbg!\(")

problems = []


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], check=True, capture_output=True, text=True).stdout


def check_dependencies():
    metadata = json.loads(cargo("metadata", "--format-version", "1", "--no-deps", "--locked"))
    for package in metadata["packages"]:
        ours = {it["name"] for it in package["dependencies"] if it["name"].startswith("phoenix-") and it["kind"] is None}
        for name in sorted(ours - ALLOWED.get(package["name"], set())):
            problems.append(f"{package['name']} must not depend on {name}")
        for dependency in package["dependencies"]:
            holder = package["name"] if dependency["kind"] is None else f"{package['name']}:{dependency['kind']}"
            corner = CORNERS.get(dependency["name"])
            if corner and holder not in corner and package["name"] not in corner:
                problems.append(f"{holder} must not depend on {dependency['name']}")
    for name in PURE:
        tree = cargo("tree", "-p", name, "-e", "normal", "--prefix", "none", "--locked")
        for foreign in sorted({line.split()[0] for line in tree.splitlines() if line} & FOREIGN):
            problems.append(f"{name} must not depend on {foreign}, not even through others")


def is_pure(path):
    parts = path.parts
    if parts[0] not in PURE or {"tests", "testing"} & set(parts) or path.name == "tests.rs":
        return False
    return parts[0] != "phoenix-core" or not {"engine", "port", "store"} & set(parts)


def check_sources():
    listed = subprocess.run(["git", "ls-files", "*.rs", "*.py", "*.md", ".ci/*"], check=True, capture_output=True, text=True)
    for path in map(pathlib.Path, listed.stdout.split()):
        if not path.exists() or path == pathlib.Path(".ci/rules.py"):
            continue
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        if path.suffix == ".rs" and len(lines) > MAX_LINES:
            problems.append(f"{path}: {len(lines)} lines, more than {MAX_LINES}")
        if UNFINISHED.search(text):
            problems.append(f"{path}: something unfinished")
        if PLACES.search(text):
            problems.append(f"{path}: a path of one machine")
        if path.parts[:3] == ("phoenix-core", "src", "port"):
            for port in re.findall(r"^pub trait .*?^}", text, flags=re.MULTILINE | re.DOTALL):
                if len(re.findall(r"^    (async )?fn ", port, flags=re.MULTILINE)) > MAX_PORT_METHODS:
                    problems.append(f"{path}: a port with more than {MAX_PORT_METHODS} methods")
        if path.suffix == ".rs" and is_pure(path):
            code = re.split(r"^#\[cfg\(test\)\]\nmod \w+ \{", text, maxsplit=1, flags=re.MULTILINE)[0]
            for number, line in enumerate(code.splitlines(), start=1):
                if IMPURE.search(line.split("//", maxsplit=1)[0]):
                    problems.append(f"{path}:{number}: not pure")


def check_threats():
    """Each attack of the table is a test in the file that it names, and each test named after a row is in the table."""
    listed = set(re.findall(rf"`({ATTACK})` \| `([^`]+)`", THREATS.read_text(encoding="utf-8")))
    found = set()
    sources = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.rs"],
        check=True, capture_output=True, text=True,
    )
    for path in filter(pathlib.Path.exists, map(pathlib.Path, sources.stdout.split())):
        tests = re.findall(rf"^\s*(?:async )?fn ({ATTACK})\(", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        found |= {(test, str(path)) for test in tests}
    for test, path in sorted(listed - found):
        problems.append(f"{THREATS}: {path} has no test {test}")
    for test, path in sorted(found - listed):
        problems.append(f"{THREATS}: {test} of {path} is not listed")


check_dependencies()
check_sources()
check_threats()
for problem in problems:
    print(problem)
print(f"{len(problems)} rules broken" if problems else "all rules hold")
sys.exit(1 if problems else 0)
