"""The wheels of a release: the client, and the plugin for kubectl that stands on it.

This project is one distribution; a release has two of its parts, each with what it needs and no
more, so that a program which counts does not get an operator's libraries. Their metadata comes from
pyproject.toml. The same sources give the same bytes: times are SOURCE_DATE_EPOCH."""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kind.release.stamp import stamp
from kind.release.wanted import Wanted
from kind.tools.settings import REPOSITORY
from kind.tools.shell import run
from kind.tools.store import source_files


class Part(NamedTuple):
    name: str
    packages: tuple[str, ...]
    extra: str
    """Of pyproject.toml: what it needs."""
    description: str
    on_client: bool = False


CLIENT = Part(
    "countercluster",
    ("countercluster", "countercluster.aio", "countercluster.sync"),
    "client",
    "Counters that are counted exactly once, for Python programs",
)
PLUGIN = Part(
    "kubectl-counters",
    ("kubectl_counters",),
    "kubectl",
    "kubectl counters: look at CounterClusters and work with them",
    on_client=True,
)


def build(wanted: Wanted, work: Path, out: Path, epoch: int, log: Path) -> tuple[Path, Path]:
    """The client's wheel and the plugin's, in `out`. Raises Problem."""
    client, plugin = (_one(part, wanted, work, out, epoch, log) for part in (CLIENT, PLUGIN))
    return client, plugin


def _one(part: Part, wanted: Wanted, work: Path, out: Path, epoch: int, log: Path) -> Path:
    tree = work / part.name
    for package in {name.partition(".")[0] for name in part.packages}:
        source = REPOSITORY / "client" / package
        for file in source_files(source):
            target = tree / package / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
            target.chmod(0o644)
    stamp(tree, wanted.version)
    shutil.copyfile(REPOSITORY / "LICENSE", tree / "LICENSE")
    shutil.copyfile(REPOSITORY / "client" / "README.md", tree / "README.md")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    (tree / "pyproject.toml").write_text(described(part, project, wanted))
    made = work / f"{part.name}-wheel"
    run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--no-build-isolation", "--wheel-dir", made, tree,
        log=log, env={"SOURCE_DATE_EPOCH": str(epoch)},
    )  # fmt: skip
    (wheel,) = made.glob("*.whl")
    return Path(shutil.copyfile(wheel, out / wheel.name))


def described(part: Part, project: Mapping[str, Any], wanted: Wanted) -> str:
    """Its pyproject.toml, from that of the whole. Pure."""
    of_all = project["project"]
    needed = list(of_all["optional-dependencies"][part.extra])
    if part.on_client:
        needed.append(f"{CLIENT.name}=={wanted.python_version}")
    lines = [
        "[build-system]",
        f"requires = {json.dumps(project['build-system']['requires'])}",
        f"build-backend = {json.dumps(project['build-system']['build-backend'])}",
        "[project]",
        f"name = {json.dumps(part.name)}",
        f"version = {json.dumps(wanted.python_version)}",
        f"description = {json.dumps(part.description)}",
        'readme = "README.md"',
        f"requires-python = {json.dumps(of_all['requires-python'])}",
        f"license = {json.dumps(of_all['license'])}",
        'license-files = ["LICENSE"]',
        f"dependencies = {json.dumps(needed)}",
    ]
    if part is PLUGIN:
        lines += [
            "[project.scripts]",
            *(f"{k} = {json.dumps(v)}" for k, v in of_all["scripts"].items()),
        ]
    return (
        "\n".join([*lines, "[tool.setuptools]", f"packages = {json.dumps(part.packages)}"]) + "\n"
    )
