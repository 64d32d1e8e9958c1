"""Counts instructions of a message and of a commit, and of what they cannot avoid, under callgrind.

python3 adapters/conformance/benches/groups/count.py [message|commit] [memory|sqlite] [MEMBERS]...

Prints tables in Markdown. Each figure is of one call, of all threads, and the same within a few per mille in every run,
whatever else the machine does. Valgrind offers no SHA instructions, so a block of SHA-256 takes 3,300 there: it is counted
as the 200 that take as long as it does where they exist.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[4]
# What the benchmark gives to its function `counted`, in order, ten of each.
COUNTED = {"message": ["call", "floor", "entries"], "commit": ["call", "openmls", "floor"]}
TIMES = 10
# SHA-256 in software, and instructions of a block in it and of what takes as long as a block in hardware.
HASHING, IN_SOFTWARE, IN_HARDWARE = "sha2::sha256::soft::unroll::compress", 3_300, 200
HEADS = {
    "message": "| message, store | members | floor | of queues | warm | ratio to floor | to both |",
    "commit": "| commit, store | members | OpenMLS | floor | accepted | ratio |",
}


def main(arguments):
    whats = [it for it in arguments if it in HEADS] or list(HEADS)
    stores = [it for it in arguments if it in ("memory", "sqlite")] or ["memory", "sqlite"]
    sizes = [int(it) for it in arguments if it.isdigit()] or [2, 10, 100, 1000]
    bench = built()
    for what in whats:
        print(HEADS[what])
        print("| --- |" + " ---: |" * (HEADS[what].count("|") - 2))
        for store in stores:
            counts = {members: counted(bench, what, store, members) for members in sizes}
            for members, count in counts.items():
                print(f"| {store} | {members:,} | " + " | ".join(cells(what, count)) + " |", flush=True)
            if what == "message" and 10 in counts and 1000 in counts:
                each = {name: (counts[1000][name] - counts[10][name]) / 990 for name in counts[10]}
                print(f"| {store}, each from 10 to 1,000 | | " + " | ".join(cells(what, each)) + " |")
        print()


def cells(what, count):
    """A line of thousands of instructions, and ratios."""
    if what == "message":
        both = count["floor"] + count["entries"]
        figures = [count["floor"], count["entries"], count["call"]]
        ratios = [count["call"] / count["floor"], count["call"] / both]
    else:
        floor = count["openmls"] + count["floor"]
        figures, ratios = [count["openmls"], floor, count["call"]], [count["call"] / floor]
    return [f"{figure / 1000:,.1f}" for figure in figures] + [f"{ratio:.2f}" for ratio in ratios]


def built():
    """The benchmark, built but not run: each crate by itself, so that SHA-256 stays a function that can be told."""
    command = "cargo bench -p phoenix-conformance --bench groups --locked --no-run --message-format=json"
    alone = os.environ | {"CARGO_PROFILE_BENCH_LTO": "false", "CARGO_PROFILE_BENCH_CODEGEN_UNITS": "16"}
    made = subprocess.run(command.split(), cwd=ROOT, env=alone, stdout=subprocess.PIPE, check=True, text=True).stdout
    artifacts = [json.loads(line) for line in made.splitlines()]
    return next(it["executable"] for it in artifacts if it.get("target", {}).get("name") == "groups")


def counted(bench, what, store, members):
    """Instructions of one call in each of the counted functions."""
    options = ["--tool=callgrind", "--callgrind-out-file=out"]
    options += ["--zero-before=groups::counted", "--dump-after=groups::counted"]
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", *options, bench, "--once", what, store, str(members)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(done.stderr)
        dumps = [pathlib.Path(folder, f"out.{number}").read_text() for number in (1, 2, 3)]
    return {name: weighed(dump) / TIMES for name, dump in zip(COUNTED[what], dumps, strict=True)}


def weighed(dump):
    """All instructions of a dump, with those of SHA-256 as a processor with SHA instructions has them."""
    total = int(re.search(r"^totals: (\d+)", dump, re.MULTILINE)[1])
    names, here, hashing, is_call = {}, False, 0, False
    for line in dump.splitlines():
        if function := re.match(r"fn=(\(\d+\))(?: (.*))?", line):
            number, name = function.groups()
            here = HASHING in names.setdefault(number, name or "")
        elif function := re.match(r"cfn=(\(\d+\)) (.*)", line):
            names[function[1]] = function[2]
        elif line.startswith("calls="):
            # The next line is the cost of what is called.
            is_call = True
        elif cost := re.match(r"(?:[+-]?\d+|\*|0x[0-9a-f]+) (\d+)$", line):
            hashing += int(cost[1]) if here and not is_call else 0
            is_call = False
    return total - hashing + hashing / IN_SOFTWARE * IN_HARDWARE


if __name__ == "__main__":
    main(sys.argv[1:])
