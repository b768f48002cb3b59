"""What `make scan` makes of the lists that it reaches, and that it says which it did not."""

from __future__ import annotations

import datetime
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kind.packaging import scan
from kind.packaging.scan import (
    Part,
    audited,
    debian_packages,
    judged_by,
    main,
    newest,
    of_audit,
    report,
)
from kind.tools import engine
from kind.tools.shell import Problem

FAULT = {"id": "PYSEC-2026-1", "fix_versions": ["2.1"], "aliases": [], "description": "a"}
AUDIT = {
    "dependencies": [
        {"name": "good", "version": "1.0", "vulns": []},
        {
            "name": "bad",
            "version": "2.0",
            "vulns": [FAULT, {**FAULT, "id": "GHSA-x", "fix_versions": []}],
        },
        {"name": "unknown", "skip_reason": "not found"},
    ],
    "fixes": [],
}
SBOM = {
    "components": [
        {
            "name": "openssl",
            "version": "3.5.1-1",
            "purl": "pkg:deb/debian/openssl@3.5.1-1?arch=amd64",
        },
        {
            "name": "zlib1g",
            "version": "1:1.3-1",
            "purl": "pkg:deb/debian/zlib1g@1:1.3-1?arch=amd64",
        },
        {"name": "redis", "version": "8.1.0", "purl": "pkg:pypi/redis@8.1.0"},
    ]
}
INDEX = """Package: openssl
Version: 3.5.1-1+deb13u1
Description: a
 Version: 9

Package: openssl
Version: 3.5.1-1+deb13u2

Package: zlib1g
Version: 1:1.2-9
"""


def test_what_the_index_knows_of_a_distribution_is_shown_with_its_remedy() -> None:
    part = of_audit("requirements/x.txt", json.dumps(AUDIT))
    assert (part.judged, part.not_judged, part.reached) == (2, ("unknown",), True)
    assert part.found == (
        "bad 2.0: PYSEC-2026-1 (mended in 2.1)",
        "bad 2.0: GHSA-x (mended in no version yet)",
    )


def test_a_list_that_knows_none_of_them_was_not_reached() -> None:
    part = of_audit(
        "x", json.dumps({"dependencies": [{"name": "a", "skip_reason": "not found"}] * 3})
    )
    assert (part.judged, part.found, part.reached) == (0, (), False)
    assert part.not_judged == ("all 3: the list was not reached",)


@pytest.mark.parametrize("text", ["", "error: no route", "{}"])
def test_a_second_list_is_asked_when_the_first_is_not_there(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    asked: list[str] = []

    def answer(words: list[str], **_: Any) -> Any:
        asked.append(words[words.index("--vulnerability-service") + 1])
        return SimpleNamespace(
            stdout=json.dumps(AUDIT) if asked[-1] == "osv" and text == "" else text
        )

    monkeypatch.setattr(subprocess, "run", answer)
    part = audited(Path("requirements/node.txt"), Path("pip-audit"))
    assert asked == ["pypi", "osv"]
    assert (part.judged, part.reached) == ((2, True) if text == "" else (0, False))
    assert bool(part.not_judged)


def test_what_the_security_archive_has_newer_is_a_fault_of_the_image() -> None:
    packages = debian_packages(SBOM)
    assert packages == {"openssl": "3.5.1-1", "zlib1g": "1:1.3-1"}
    archive = newest([INDEX])
    assert archive == {"openssl": "3.5.1-1+deb13u2", "zlib1g": "1:1.2-9"}
    part = judged_by("image", packages, archive)
    assert part == Part(
        "image", 2, ("openssl 3.5.1-1: 3.5.1-1+deb13u2 is in the security archive",)
    )
    assert judged_by("image", {"openssl": "3.5.1-1+deb13u2"}, archive).found == ()


def test_the_report_names_what_was_not_judged() -> None:
    text = report([Part("a", 7), Part("b", 2, ("x 1: bad",), ("y",))], datetime.date(2026, 11, 28))
    assert "| a | 7 | 0 | none |" in text
    assert "| b | 2 | 1 | y |" in text
    assert text.endswith("- b: x 1: bad\n")


@pytest.mark.parametrize(
    ("archive", "judged", "code"), [(None, AUDIT, 2), ({}, {"dependencies": []}, 0), ({}, AUDIT, 1)]
)
def test_the_exit_code_tells_nothing_found_from_nothing_checked(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    archive: dict[str, str] | None,
    judged: Any,
    code: int,
) -> None:
    def of_suite(suite: str) -> dict[str, str]:
        if archive is None:
            raise Problem("no route")
        return archive

    monkeypatch.setattr(scan, "security_archive", of_suite)
    monkeypatch.setattr(
        scan,
        "audited",
        lambda lock, audit: of_audit(
            lock.name, json.dumps(judged if archive is not None else {"dependencies": []})
        ),
    )
    monkeypatch.setattr(scan, "sbom_of", lambda image: SBOM)
    monkeypatch.setattr(engine, "runs", lambda: True)
    monkeypatch.setattr(engine, "has_image", lambda image: True)
    monkeypatch.setattr("sys.argv", ["scan"])
    assert main() == code
    printed = capsys.readouterr()
    assert ("was not reached" in printed.out) is (archive is None)
