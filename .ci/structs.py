#!/usr/bin/env python3
"""The structs of the wire in the protocol book. Each block of presentation language under a marker

    <!-- struct Name -->

is what the struct's declaration in Rust says: names, types, bounds and comments. Without arguments the blocks are
compared, and every public struct of the wire must stand in the book; `--write` brings them up to date. So must every
number and label that the code assigns."""

import pathlib
import re
import sys

# Where the wire is declared; every public struct there must be printed.
WIRE = [
    "phoenix-core/src/api", "phoenix-core/src/credential/types.rs", "phoenix-core/src/token/types.rs",
    "phoenix-core/src/token/format.rs",
    "phoenix-core/src/wire/call.rs", "phoenix-core/src/reject.rs", "phoenix-core/src/crypto/keys.rs",
    "phoenix-core/src/id/names.rs",
]
# What only clients say to each other: printed where the book names it.
CLIENTS = ["adapters/client/src"]
BOOK = pathlib.Path("docs")
# Helpers of the code that never travel.
NOT_WIRE = {"Empty"}
NUMBERS = {"u8": "uint8", "u16": "uint16", "u32": "uint32", "u64": "uint64", "Flag": "boolean", "Month": "uint32"}
WIDTH = 100

ITEM = re.compile(
    r"(?P<docs>(?:^///.*\n)*)(?P<attributes>(?:^#\[(?:[^\]]|\n)*?\]\n)+)^pub(?:\(crate\))? (?P<kind>struct|enum) "
    r"(?P<name>\w+)(?:<const (?P<bound>\w+): usize = (?P<usual>[^>]+)>)?(?P<body>\(.*\);| \{\}| \{\n(?:.*\n)*?^\})",
    re.MULTILINE,
)
IDENTIFIER = re.compile(r'#\[doc = "(?P<doc>[^"]+)"\]\n\s+(?P<name>\w+)\[(?P<length>\d+)\];')
# Endpoints, numbers of MLS, labels of signatures, and what keys are derived or sealed for.
NAMES = [
    r"Description::new\((0x[0-9a-f]{4})", r"const \w+: u16 = (0xf0[0-9a-f]{2});",
    r'const \w+: &str = "([A-Z][A-Za-z]+)";', r'b?"(phoenix [a-z -]+)"',
]
SHARED = re.compile(r"^pub(?:\(\w+\))? const (\w+): u(?:8|16|32|64|size) = ([^;]+);", re.MULTILINE)
CONSTANT = re.compile(r"^(?:pub(?:\(\w+\))? )?const (\w+): u(?:8|16|32|64|size) = ([^;]+);", re.MULTILINE)


class Source:
    """What the code declares."""

    def __init__(self):
        self.texts = {}
        self.constants = {}
        self.blocks = {}
        self.wire = set()
        for root in WIRE + CLIENTS:
            root = pathlib.Path(root)
            for path in sorted(root.rglob("*.rs")) if root.is_dir() else [root]:
                self.texts[path] = path.read_text(encoding="utf-8")
        for path in pathlib.Path("phoenix-core/src").rglob("*.rs"):
            for name, value in SHARED.findall(path.read_text(encoding="utf-8")):
                if self.constants.setdefault(name, value) != value:
                    sys.exit(f"{path}: {name} has two values: the book cannot tell which is meant")
        for path, text in self.texts.items():
            self.read(path, text)

    def read(self, path, text):
        is_wire = not path.is_relative_to("adapters")
        own = dict(CONSTANT.findall(text))
        for found in IDENTIFIER.finditer(text):
            block = f"{wrapped(plain(found['doc']))}opaque {found['name']}[{found['length']}];\n"
            self.blocks[found["name"]] = lambda block=block: block
            self.wire.add(found["name"])
        for found in ITEM.finditer(text):
            if "TlsSerialize" not in found["attributes"]:
                continue
            name = found["name"]
            if is_wire and name not in NOT_WIRE:
                self.wire.add(name)
            elif name in self.blocks:
                continue
            self.blocks[name] = lambda found=found, own=own: self.numbered(self.block(found, own))

    def block(self, found, own):
        docs = plain(" ".join(line.removeprefix("///").strip() for line in found["docs"].splitlines()))
        head = wrapped(docs)
        name, body = found["name"], found["body"]
        if body.startswith("("):
            return f"{head}{self.field(body[1:-2].removeprefix('pub '), name, own)};\n"
        if found["bound"]:
            own = own | {found["bound"]: found["usual"].strip("{ }")}
        lines = body.strip()[1:-1].splitlines()
        if found["kind"] == "struct":
            fields = [(self.field(kind, field, own) + ";", doc) for field, kind, doc in members(lines)]
            return f"{head}struct {{\n{columns(fields, 2)}}} {name};\n"
        width = re.search(r"#\[repr\(u(\d+)\)\]", found["attributes"])
        return head + self.enumeration(name, lines, width[1] if width else "8", own)

    def enumeration(self, name, lines, width, own):
        variants = list(cases(lines))
        if all(not content for _, _, content, _ in variants):
            rows = [(f"{snake(variant)}({number}),", doc) for variant, number, _, doc in variants]
            rows.append((f"({2 ** int(width) - 1})", ""))
            return f"enum {{\n{columns(rows, 2)}}} {name};\n"
        rows = []
        for variant, number, content, doc in variants:
            inner = "; ".join(self.field(kind, field, own) for field, kind in content) or "struct {}"
            rows.append((f"case {snake(variant)}({number}): {inner};", doc))
        return f"struct {{\n  uint{width} type;\n  select (type) {{\n{columns(rows, 4)}  }};\n}} {name};\n"

    def field(self, kind, name, own):
        """A field in presentation language."""
        kind = re.sub(r"^(\w+::)+", "", kind.strip())
        if match := re.fullmatch(r"Box<(.*)>", kind):
            return self.field(match[1], name, own)
        if match := re.fullmatch(r"Option<(.*)>", kind):
            return f"optional<{self.element(match[1], own)}> {name}"
        if match := re.fullmatch(r"(?:Secret)?Opaque<(.*)>", kind):
            return f"opaque {name}<0..{self.bound(match[1], own)}>"
        if match := re.fullmatch(r"List<(.*), ([^,]+)>", kind):
            return f"{self.element(match[1], own)} {name}<0..{self.bound(match[2], own)}>"
        if match := re.fullmatch(r"\[u8; (\w+)\]|Secret<(.*)>", kind):
            return f"opaque {name}[{self.bound(match[1] or match[2], own)}]"
        # A bound of its own, which the comment tells.
        if match := re.fullmatch(r"(\w+)<\{ \w+ \}>", kind):
            kind = match[1]
        if kind in ("Mls", "RatchetTree"):
            return f"{kind} {name}"
        return f"{NUMBERS.get(kind, kind)} {name}"

    def element(self, kind, own):
        """A type that stands inside another."""
        text = self.field(kind, "", own)
        return re.sub(r"\s+(?=[\[<])|\s+$", "", text)

    def numbered(self, text):
        """A comment with the value of each bound that it names."""
        return re.sub(r"\b(?:MAX|MIN)_[A-Z_]+\b", lambda found: f"{self.bound(found[0], {}):,}", text)

    def bound(self, expression, own):
        expression = expression.strip().strip("{}").strip()
        expression = re.sub(r"\b(?:\w+::)+", "", expression)
        for _ in range(8):
            names = set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", expression))
            if not names:
                break
            for name in names:
                value = re.sub(r"\b(?:\w+::)+", "", own.get(name) or self.constants[name])
                expression = re.sub(rf"\b{name}\b", f"({value})", expression)
        return eval(re.sub(r"(?<=\d)_(?=\d)", "", expression), {"__builtins__": {}})


def members(lines):
    """Fields of a struct: name, type, comment."""
    doc, pending = [], ""
    for line in map(str.strip, lines):
        if line.startswith("///"):
            doc.append(line.removeprefix("///").strip())
        elif line and not line.startswith(("#[", "//")):
            pending += line
            if pending.endswith(","):
                field, kind = re.sub(r"^pub(\(crate\))? ", "", pending.rstrip(",")).split(":", 1)
                yield field, kind, plain(" ".join(doc))
                doc, pending = [], ""


def cases(lines):
    """Variants of an enum: name, number, what they hold, comment."""
    text, number = "\n".join(lines), 0
    pattern = re.compile(
        r"(?P<docs>(?:^    ///.*\n)+)?(?P<tag>^    #\[tls_codec\(discriminant = (\d+)\)\]\n)?"
        r"^    (?P<name>\w+)(?:\((?P<tuple>.*)\)| \{\n(?P<fields>(?:        .*\n)*)    \})?(?: = (?P<number>\w+))?,",
        re.MULTILINE,
    )
    for found in pattern.finditer(text + "\n"):
        tag = re.search(r"\d+", found["tag"] or "")
        number = int(found["number"] or (tag[0] if tag else number + 1), 0)
        docs = (found["docs"] or "").splitlines()
        docs = plain(" ".join(line.strip().removeprefix("///").strip() for line in docs))
        content = []
        if found["tuple"]:
            kinds = re.split(r", (?![^<]*>)", found["tuple"])
            content = [(snake(found["name"] if len(kinds) == 1 else bare(kind)), kind) for kind in kinds]
        elif found["fields"]:
            content = [(field, kind) for field, kind, _ in members(found["fields"].splitlines())]
        yield found["name"], number, content, docs


def bare(kind):
    return re.sub(r"\W.*", "", kind)


def plain(doc):
    """A comment without what only rustdoc reads."""
    doc = re.sub(r"\[`([^`]*)`\](\([^)]*\))?", r"\1", doc)
    doc = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", doc)
    return re.sub(r"\b(?:super|crate|Reject|self)::(?:\w+::)*", "", doc).replace("`", "").strip()


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def wrapped(text):
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + len(word) + 4 > WIDTH:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    return "".join(f"// {line}\n" for line in [*lines, line] if line)


def columns(rows, indent):
    """Fields with their comments beside them or, where those are long, before them."""
    pad, lines = " " * indent, []
    width = min(max((len(row) for row, _ in rows), default=0), 44)
    for row, doc in rows:
        beside = f"{pad}{row.ljust(width)}  // {doc}"
        if doc and len(beside) <= WIDTH:
            lines.append(beside)
        else:
            lines += [pad + line for line in wrapped(doc).splitlines()] + [pad + row]
    return "".join(f"{line}\n" for line in lines)


def names(text):
    """Numbers and labels that the code assigns and the book does not name, and numbers that stand for two things."""
    found = {}
    sources = [*pathlib.Path(".").glob("phoenix-*/src/**/*.rs"), *pathlib.Path("adapters/client/src").rglob("*.rs")]
    for path in sources:
        if {"tests", "testing"} & set(path.parts) or path.name in ("tests.rs", "saved.rs"):
            continue
        for pattern in NAMES:
            for name in re.findall(pattern, path.read_text(encoding="utf-8")):
                found.setdefault(name, []).append(path)
    for name, paths in sorted(found.items()):
        if f"`{name}`" not in text:
            yield f"{name} of {paths[0]} is not in the book"
        if name.startswith("0x") and len(paths) > 1:
            yield f"{name} is assigned twice: {', '.join(map(str, paths))}"


def main():
    source, problems, printed = Source(), [], set()
    marker = re.compile(r"^<!-- struct (\w+) -->\n(?:```tls\n(?P<block>(?:.*\n)*?)```\n)?", re.MULTILINE)
    for page in sorted(BOOK.rglob("*.md")):
        text = page.read_text(encoding="utf-8")

        def fresh(found, page=page):
            name = found[1]
            printed.add(name)
            if name not in source.blocks:
                problems.append(f"{page}: no struct {name} in the code")
                return found[0]
            block = source.blocks[name]()
            if found["block"] != block and "--write" not in sys.argv:
                problems.append(f"{page}: {name} differs from the code: run .ci/structs.py --write")
            return f"<!-- struct {name} -->\n```tls\n{block}```\n"

        kept = marker.sub(fresh, text)
        if "--write" in sys.argv and kept != text:
            page.write_text(kept, encoding="utf-8")
    problems += names("".join(page.read_text(encoding="utf-8") for page in BOOK.rglob("*.md")))
    problems += [f"{name} is on the wire and not in the book" for name in sorted(source.wire - printed)]
    print(*problems, f"{len(problems)} problems" if problems else f"{len(printed)} structs of the wire printed", sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
