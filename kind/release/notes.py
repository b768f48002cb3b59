"""The texts of a release: its notes, from CHANGELOG.md, and the page for those who have nothing but
the folder. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kind.release.wanted import Wanted
from kind.tools.shell import Problem

UNSIGNED = "Nothing is signed: no key was given when this release was made.\n"
_PLACE = re.compile(r"@([a-z0-9]+)@")
_HEADING = re.compile(r"^## (.*)$", re.MULTILINE)
UNRELEASED = "Unreleased"


def filled(template: str, words: Mapping[str, str]) -> str:
    """With the words in the places @name@. A place without a word is a KeyError."""
    return _PLACE.sub(lambda found: words[found[1]], template)


class Section(NamedTuple):
    heading: str
    text: str


def sections(changelog: str) -> list[Section]:
    found = list(_HEADING.finditer(changelog))
    ends = [*(match.start() for match in found[1:]), len(changelog)]
    return [
        Section(match[1].strip(), changelog[match.end() : end].strip())
        for match, end in zip(found, ends, strict=True)
    ]


def section(changelog: str, version: str) -> Section:
    """What CHANGELOG.md says of a version: its own section ("0.2.0 - 2026-12-01", with or without
    brackets), else the unreleased one. Raises Problem."""
    found = sections(changelog)
    own = re.compile(rf"\[?{re.escape(version)}\]?(?: .*)?")
    for wanted in (own.fullmatch, lambda heading: heading.strip("[").startswith(UNRELEASED)):
        for one in found:
            if wanted(one.heading):
                if not one.text:
                    raise Problem(
                        f"CHANGELOG.md says nothing below {one.heading!r}", "write what changed"
                    )
                return one
    raise Problem(
        f"CHANGELOG.md has neither a section {version} nor one called {UNRELEASED}",
        f"## {version}, and what changed below",
    )


class About(NamedTuple):
    """What the texts tell."""

    wanted: Wanted
    revision: str
    day: str
    images: Mapping[str, str]
    """repository@digest by short name."""
    platforms: tuple[str, ...]
    wheels: tuple[str, str]
    """File names: of the client, of the plugin."""
    plugin: str
    """File name of the plugin's archive."""
    signed: bool


def notes(changelog: str, about: About) -> str:
    said = section(changelog, about.wanted.version)
    lines = [
        f"# CounterCluster {about.wanted.version}",
        "",
        f"{about.day}, commit {about.revision}, for {', '.join(about.platforms)}.",
        "How to install it: README.md beside this file.",
        "",
        "| image | by digest |",
        "|---|---|",
        *_rows(about.images.items()),
        "",
        said.text,
    ]
    return "\n".join(lines) + "\n"


def _rows(images: Iterable[tuple[str, str]]) -> list[str]:
    return [f"| {name} | `{image}` |" for name, image in sorted(images)]


def readme(template: str, signed: str, about: About) -> str:
    """`signed`: the part about signatures, where there are some."""
    client, plugin = about.wheels
    words = {
        "version": about.wanted.version,
        "host": about.wanted.registry.partition("/")[0],
        "client": client,
        "plugin": plugin,
        "archive": about.plugin,
        "image": about.images["operator"],
    }
    words["signed"] = filled(signed, words) if about.signed else UNSIGNED
    return filled(template, words)
