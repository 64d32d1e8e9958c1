#!/usr/bin/env python3
"""Links and pages. Every relative link and anchor in the project's Markdown leads somewhere; docs/SUMMARY.md lists
every page of the book once, and none that is not there. Prints what is broken and exits with 1."""

import pathlib
import re
import subprocess
import sys
import urllib.parse

BOOK = pathlib.Path("docs")
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^()\s<>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)


def pages():
    """All Markdown that belongs to the project, tracked or new."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        check=True, capture_output=True, text=True,
    )
    return [path for path in map(pathlib.Path, listed.stdout.split()) if path.exists()]


def text_of(page):
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(text):
    """The anchors of a page's headings, as mdBook and the forges make them."""
    found = set()
    for heading in HEADING.findall(text):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")
        name, number = anchor, 0
        while name in found:
            number += 1
            name = f"{anchor}-{number}"
        found.add(name)
    return found


def check_links(texts):
    for page, text in texts.items():
        for link in LINK.findall(re.sub(r"`[^`\n]*`", "", text)):
            if re.match(r"[a-z][a-z0-9+.-]*:|//", link):
                continue
            path, _, anchor = urllib.parse.unquote(link).partition("#")
            target = pathlib.Path(*(page.parent / path).parts) if path else page
            resolved = (pathlib.Path.cwd() / target).resolve()
            if not resolved.is_relative_to(pathlib.Path.cwd().resolve()) or not resolved.exists():
                yield f"{page}: {link} leads nowhere"
            elif page.is_relative_to(BOOK) and resolved.is_file() and not resolved.is_relative_to(BOOK.resolve()):
                yield f"{page}: {link} leads out of the book"
            elif anchor and resolved.suffix == ".md" and anchor not in anchors(text_of(resolved)):
                yield f"{page}: {link} has no such heading"


def check_summary(texts):
    summary = BOOK / "SUMMARY.md"
    if summary not in texts:
        yield "docs/SUMMARY.md is missing"
        return
    listed = [(BOOK / link.partition("#")[0]).as_posix() for link in LINK.findall(texts[summary])]
    there = {page.as_posix() for page in texts if page.is_relative_to(BOOK) and page != summary}
    twice = {page for page in listed if listed.count(page) > 1}
    yield from (f"docs/SUMMARY.md: {page} is listed twice" for page in sorted(twice))
    yield from (f"docs/SUMMARY.md: {page} is not there" for page in sorted(set(listed) - there))
    yield from (f"docs/SUMMARY.md: {page} is not listed" for page in sorted(there - set(listed)))


def main():
    texts = {page: text_of(page) for page in pages()}
    problems = [*check_links(texts), *check_summary(texts)]
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems" if problems else f"{len(texts)} pages, all links lead somewhere")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
