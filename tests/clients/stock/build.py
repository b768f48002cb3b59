"""Makes the programs of the stock clients, with pinned versions of their packages, into the cache:
`python -m tests.clients.stock.build`.

What is there is not made again, and needs no network. A folder of the cache is named after all that
went into it."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
TIMEOUT_S = 600


class ToolMissing(Exception):
    """The tool chain is not on this machine."""


def cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "countercluster" / "stock-clients"


@dataclass(frozen=True)
class Kind:
    folder: str
    tools: tuple[str, ...]
    make: Callable[[Path], None]

    def made(self) -> Path:
        """The folder with the built programs. Raises ToolMissing, or CalledProcessError when the
        packages cannot be had."""
        for tool in self.tools:
            if shutil.which(tool) is None:
                raise ToolMissing(f"{tool} is not installed")
        sources = sorted(path for path in (HERE / self.folder).iterdir() if path.is_file())
        digest = hashlib.sha256(
            b"".join(path.name.encode() + path.read_bytes() for path in sources)
        ).hexdigest()[:16]
        target = cache() / f"{self.folder}-{digest}"
        if not target.exists():
            cache().mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache()) as name:
                place = Path(name) / self.folder
                shutil.copytree(HERE / self.folder, place)
                self.make(place)
                try:
                    place.rename(target)
                except OSError:
                    if not target.exists():  # else another run was quicker
                        raise
        return target


def _run(place: Path, *command: str) -> None:
    done = subprocess.run(
        command,
        cwd=place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command)} ended with "
            f"{done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )


def _go(place: Path) -> None:
    _run(place, "go", "build", "-mod=readonly", "-o", "program", ".")


def _node(place: Path) -> None:
    _run(place, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")


def _jvm(place: Path) -> None:
    plugin = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies"
    _run(place, "mvn", "-q", "-B", plugin, "-DoutputDirectory=jars")
    _run(
        place,
        "javac",
        "-Xlint:-deprecation",
        "-d",
        "classes",
        "-cp",
        "jars/*",
        *(path.name for path in sorted(place.glob("*.java"))),
    )


GO = Kind("go", ("go",), _go)
NODE = Kind("node", ("node", "npm"), _node)
JVM = Kind("jvm", ("java", "javac", "mvn"), _jvm)


@dataclass(frozen=True)
class Client:
    name: str
    version: str
    kind: Kind | None
    program: tuple[str, ...]

    def command(self) -> list[str]:
        """Raises as Kind.made."""
        if self.kind is None:
            return [sys.executable, str(HERE / self.program[0]), *self.program[1:]]
        place = str(self.kind.made())
        return [word.replace("{}", place) for word in self.program]


def _pinned(file: str, pattern: str) -> str:
    found = re.search(pattern, (HERE / file).read_text())
    assert found is not None, f"{file} has no {pattern}"
    return found[1]


_NODE_PACKAGES = json.loads((HERE / "node/package.json").read_text())["dependencies"]
_JAVA = (
    "java",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xshare:auto",
    "-cp",
    "{}/classes:{}/jars/*",
)


def _redis_cli() -> str:
    """It comes with the machine."""
    if shutil.which("redis-cli") is None:
        return "not installed"
    printed = subprocess.run(
        ["redis-cli", "--version"], capture_output=True, text=True, check=True, timeout=10
    ).stdout
    return printed.split()[1]


CLIENTS = [
    Client("redis-cli", _redis_cli(), None, ("redis_cli.py",)),
    Client("redis-py", metadata.version("redis"), None, ("redis_py.py", "blocking")),
    Client("redis-py (asyncio)", metadata.version("redis"), None, ("redis_py.py", "asyncio")),
    Client("go-redis", _pinned("go/go.mod", r"go-redis/v9 v(\S+)"), GO, ("{}/program",)),
    Client("ioredis", _NODE_PACKAGES["ioredis"], NODE, ("node", "{}/ioredis.mjs")),
    Client("node-redis", _NODE_PACKAGES["redis"], NODE, ("node", "{}/node-redis.mjs")),
    Client(
        "Jedis",
        _pinned("jvm/pom.xml", r"<artifactId>jedis</artifactId><version>([^<]+)"),
        JVM,
        (*_JAVA, "JedisProgram"),
    ),
    Client(
        "Lettuce",
        _pinned("jvm/pom.xml", r"<artifactId>lettuce-core</artifactId><version>([^<]+)"),
        JVM,
        (*_JAVA, "LettuceProgram"),
    ),
]


def main() -> int:
    argparse.ArgumentParser(prog="tests.clients.stock.build", description=__doc__).parse_args()
    missing = False
    for kind in (GO, NODE, JVM):
        try:
            print(f"{kind.folder}: {kind.made()}")
        except ToolMissing as error:
            missing = True
            print(f"{kind.folder}: left out, {error}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
