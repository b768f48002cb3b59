"""`make scan`: what is in the images and lock files, against the lists of vulnerabilities that can
be reached from here.

1. Python distributions (requirements/*.txt): pip-audit asks the package index, and OSV for what is
   left.
2. Debian packages (the list in each image, usr/share/sbom/sbom.cdx.json): Debian's security archive
   of the images' suite. A package that is older than the one there lacks a published security
   update. What Debian knows and has not mended is not in that archive, so it is not shown.
3. What no list was there for is named: "not judged" is no "nothing found".

The result is printed as Markdown, for the release's notes. Exit code: 0 nothing found, 1 something,
2 nothing found and a list or an image was not there.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import json
import lzma
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kind.tools import engine, host
from kind.tools.settings import BASE_SUITE, NODE_IMAGE, OPERATOR_IMAGE, REDIS_IMAGE, REPOSITORY
from kind.tools.shell import Problem, run

SHIPPED = (NODE_IMAGE, OPERATOR_IMAGE, REDIS_IMAGE)
LOCKS = ("node", "operator", "compile")
"""What goes into images, or compiles what does."""
SBOM = "/usr/share/sbom/sbom.cdx.json"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
ASKED_S = 300
AUDIT = REPOSITORY / ".venv/scan/bin/pip-audit"


class Part(NamedTuple):
    """One image or lock file, judged by one list."""

    name: str
    judged: int = 0
    found: tuple[str, ...] = ()
    not_judged: tuple[str, ...] = ()
    """Names, or why nothing was judged."""
    reached: bool = True


# --- Python ---------------------------------------------------------------------------------------


def of_audit(name: str, text: str) -> Part:
    """What pip-audit says, as JSON."""
    found, skipped, judged = [], [], 0
    for package in json.loads(text)["dependencies"]:
        title = f"{package['name']} {package.get('version', '')}".strip()
        if "skip_reason" in package:
            skipped.append(package["name"])
            continue
        judged += 1
        for fault in package["vulns"]:
            mended = ", ".join(fault.get("fix_versions", [])) or "no version yet"
            found.append(f"{title}: {fault['id']} (mended in {mended})")
    if skipped and not judged:
        return Part(
            name, not_judged=(f"all {len(skipped)}: the list was not reached",), reached=False
        )
    return Part(name, judged, tuple(found), tuple(skipped))


def audited(lock: Path, audit: Path) -> Part:
    """By the first list that judges anything."""
    name, parts = f"requirements/{lock.name}", []
    for service in ("pypi", "osv"):
        words = [
            str(audit),
            "--requirement",
            str(lock),
            "--require-hashes",
            "--disable-pip",
            "--format",
            "json",
            "--vulnerability-service",
            service,
        ]
        try:
            done = subprocess.run(
                [*words, "--progress-spinner", "off"],
                capture_output=True,
                text=True,
                timeout=ASKED_S,
                check=False,
            )
            parts.append(of_audit(name, done.stdout))
        except (subprocess.TimeoutExpired, OSError, ValueError, KeyError):
            parts.append(
                Part(name, not_judged=(f"the list of {service} was not reached",), reached=False)
            )
        if parts[-1].reached:
            return parts[-1]
    return Part(
        name,
        not_judged=("neither the list of the package index nor that of OSV was reached",),
        reached=False,
    )


# --- Debian ---------------------------------------------------------------------------------------


def debian_packages(sbom: Mapping[str, Any]) -> dict[str, str]:
    """Name to version."""
    debian = [part for part in sbom["components"] if part.get("purl", "").startswith("pkg:deb/")]
    return {part["name"]: part["version"] for part in debian}


def newest(indexes: Iterable[str]) -> dict[str, str]:
    """Name to the newest version, of indexes of packages."""
    found: dict[str, str] = {}
    for text in indexes:
        for paragraph in text.split("\n\n"):
            fields = dict(
                line.split(": ", 1)
                for line in paragraph.splitlines()
                if ": " in line and line[0] != " "
            )
            name, version = fields.get("Package"), fields.get("Version")
            if name and version and (name not in found or older(found[name], version)):
                found[name] = version
    return found


def older(one: str, other: str) -> bool:
    return (
        subprocess.run(["dpkg", "--compare-versions", one, "lt", other], check=False).returncode
        == 0
    )


def judged_by(name: str, packages: Mapping[str, str], archive: Mapping[str, str]) -> Part:
    late = [
        f"{package} {version}: {archive[package]} is in the security archive"
        for package, version in sorted(packages.items())
        if package in archive and older(version, archive[package])
    ]
    return Part(name, len(packages), tuple(late))


def security_archive(suite: str) -> dict[str, str]:
    """What the security archive of a suite has, from the mirror that this machine's apt uses, its
    signature checked by apt.

    Raises Problem where it is not to be had.
    """
    mirror = f"{host.debian_mirror(host.apt_sources())}-security"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for part in ("lists/partial", "cache/archives/partial", "parts"):
            (folder / part).mkdir(parents=True)
        (folder / "sources.list").write_text(
            f"deb [signed-by={KEYRING}] {mirror} {suite}-security main\n"
        )
        (folder / "status").touch()
        run(
            "apt-get", "update", "-o", f"Dir::Etc::sourcelist={folder / 'sources.list'}", "-o",
            f"Dir::Etc::sourceparts={folder / 'parts'}",
            "-o", f"Dir::State={folder}", "-o", f"Dir::State::lists={folder / 'lists'}", "-o",
            f"Dir::State::status={folder / 'status'}",
            "-o", f"Dir::Cache={folder / 'cache'}", "-o", "APT::Sandbox::User=root", "-o",
            "Acquire::Languages=none",
            "-o", "APT::Update::Error-Mode=any", timeout_s=ASKED_S,
        )  # fmt: skip
        texts = [_text(path) for path in (folder / "lists").iterdir() if "_Packages" in path.name]
    if not texts:
        raise Problem(f"the archive {urllib.parse.urlsplit(mirror).path} of {suite} has no index")
    return newest(texts)


def _text(path: Path) -> str:
    data = path.read_bytes()
    opened = {".xz": lzma.decompress, ".gz": gzip.decompress}.get(path.suffix)
    if path.suffix == ".lz4":
        return run("/usr/lib/apt/apt-helper", "cat-file", path)
    return (opened(data) if opened else data).decode()


def sbom_of(image: str) -> dict[str, Any]:
    """Read from the image without running anything in it. Raises Problem."""
    container = run("docker", "create", image, "never-run").strip()
    try:
        with tempfile.TemporaryDirectory() as folder:
            run("docker", "cp", f"{container}:{SBOM}", Path(folder) / "sbom.json")
            return dict(json.loads((Path(folder) / "sbom.json").read_text()))
    finally:
        run("docker", "rm", container)


def scanned(image: str, archive: Mapping[str, str] | None) -> Part:
    if archive is None:
        return Part(image, not_judged=("Debian's security archive was not reached",), reached=False)
    if not engine.runs() or not engine.has_image(image):
        return Part(image, not_judged=("the image is not there: make images",), reached=False)
    return judged_by(image, debian_packages(sbom_of(image)), archive)


# --- the report -----------------------------------------------------------------------------------


def report(parts: Iterable[Part], day: datetime.date) -> str:
    lines = [
        f"Scanned on {day}:",
        "",
        "| what | judged | found | not judged |",
        "|---|---|---|---|",
    ]
    parts = list(parts)
    lines += [
        f"| {p.name} | {p.judged} | {len(p.found)} | {', '.join(p.not_judged) or 'none'} |"
        for p in parts
    ]
    found = [f"- {p.name}: {fault}" for p in parts for fault in p.found]
    return "\n".join([*lines, *([""] if found else []), *found]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="kind.packaging.scan",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--audit", type=Path, default=AUDIT, help="the program pip-audit")
    audit: Path = parser.parse_args().audit
    try:
        archive: dict[str, str] | None = security_archive(BASE_SUITE)
    except Problem as problem:
        print(f"Debian's security archive: {problem}", file=sys.stderr)
        archive = None
    parts = [scanned(image, archive) for image in SHIPPED]
    parts += [audited(REPOSITORY / "requirements" / f"{name}.txt", audit) for name in LOCKS]
    print(report(parts, datetime.datetime.now(datetime.UTC).date()), end="")
    if any(part.found for part in parts):
        return 1
    return 0 if all(part.reached for part in parts) else 2


if __name__ == "__main__":
    sys.exit(main())
