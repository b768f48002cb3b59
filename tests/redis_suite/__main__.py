"""Runs the portable part of Redis's own test suite against a devcluster, as an external server.

    make redis-suite SUITE=DIR

DIR is a source tree of Redis 7.2 or later (a checkout of its repository, or what `apt-get source
redis` unpacks); nothing of it is in this repository. Tcl is needed (package `tcl`). Every failure
must be listed in differences.txt, by unit and name; one that is not ends the run with 1.

The suite stores words where any value would do. words.tcl gives each word an integer on its way to
the server, and back; `--plain` leaves that out: then tests that store words fail as well, with
"value is not an integer or out of range", and nothing is compared with the list."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.devcluster import DevCluster

HERE = Path(__file__).resolve().parent
UNITS = ("type/incr", "type/string", "expire", "multi", "scan", "protocol", "introspection")
TAGS = (
    "-needs:debug -needs:repl -needs:save -needs:reset -needs:config-maxmemory "
    "-needs:config-resetstat -large-memory"
)
UNIT_S = 300
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_RESULT = re.compile(r"\[(ok|err|exception|timeout|ignore)\]:? ?(.*)")
_OFTEN = "{standalone} "
"""In front of some names, from Redis 7.4 on."""
_PLACE = re.compile(r"( in tests/unit/\S+\.tcl| \(\d+ ms\))$")


class SuiteError(Exception):
    """The suite cannot be run; the message says why."""


@dataclasses.dataclass
class Result:
    passed: list[str]
    failed: list[str]
    ignored: int


def prepare(source: Path, target: Path, *, plain: bool) -> None:
    """A copy of the suite, with the words in it unless `plain`. Raises SuiteError."""
    if not (source / "tests" / "test_helper.tcl").exists():
        raise SuiteError(
            f"{source} has no tests/test_helper.tcl; SUITE must be a source tree of Redis"
        )
    shutil.copytree(source / "tests", target / "tests")
    (target / "tests" / "tmp").mkdir(exist_ok=True)
    (target / "src").mkdir()
    version = source / "src" / "version.h"
    if version.exists():
        shutil.copy(version, target / "src")
    if not plain:
        with (target / "tests" / "support" / "redis.tcl").open("a") as client:
            client.write("\n" + (HERE / "words.tcl").read_text())


def run_unit(unit: str, directory: Path, port: int) -> Result:
    command = [
        "tclsh",
        "tests/test_helper.tcl",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--singledb",
        "--durable",
        "--ignore-encoding",
    ]
    command += ["--clients", "1", "--tags", TAGS, "--single", f"unit/{unit}"]
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=UNIT_S,
            check=False,
        )
    except FileNotFoundError:
        raise SuiteError("tclsh is not installed; the package is called tcl") from None
    except subprocess.TimeoutExpired as error:
        return Result(
            [], [f"(the unit took more than {UNIT_S} s: {(error.stdout or b'')[-300:]!r})"], 0
        )
    text = done.stdout.decode("utf-8", "replace")
    return read(text)


def read(text: str) -> Result:
    """What the suite printed, up to its summary."""
    found = Result([], [], 0)
    finished = False
    for line in _COLOUR.sub("", text).splitlines():
        if line.startswith(("!!! WARNING", "[1/1 done]")):
            finished = True
            break
        match = _RESULT.match(line)
        if match is None:
            continue
        kind, name = match[1], _PLACE.sub("", match[2]).strip().removeprefix(_OFTEN)
        if kind == "ok":
            found.passed.append(name)
        elif kind == "ignore":
            found.ignored += 1
        else:
            found.failed.append(name if kind == "err" else f"({kind}: {name})")
    if not finished:
        found.failed.append(f"(the unit did not end: {text[-300:]!r})")
    return found


def known_differences(text: str) -> dict[tuple[str, str], str]:
    """(unit, name of a test) → the reason, which is the heading that it stands under."""
    found: dict[tuple[str, str], str] = {}
    reason = ""
    for line in text.splitlines():
        if line.startswith("# "):
            reason = line[2:]
        elif line.strip():
            unit, _, name = line.partition(": ")
            found[unit, name.removeprefix(_OFTEN)] = reason
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tests.redis_suite", description=__doc__.partition("\n")[0] if __doc__ else ""
    )
    parser.add_argument("source", type=Path, help="source tree of Redis")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument(
        "--plain", action="store_true", help="the suite as it is; the list is not compared with"
    )
    parser.add_argument("--units", nargs="+", default=UNITS)
    options = parser.parse_args()
    known = known_differences((HERE / "differences.txt").read_text())
    surprises: list[str] = []
    reasons: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        try:
            prepare(options.source, directory, plain=options.plain)
            with DevCluster(directory / "nodes", options.nodes) as cluster:
                for unit in options.units:
                    result = run_unit(unit, directory, cluster.resp_port(0))
                    new = [name for name in result.failed if (unit, name) not in known]
                    reasons.update(
                        known[unit, name] for name in result.failed if (unit, name) in known
                    )
                    surprises += [f"{unit}: {name}" for name in new]
                    for name in (
                        n for n in result.passed if (unit, n) in known and n not in result.failed
                    ):
                        print(f"  no difference any more, take it off the list: {unit}: {name}")
                    print(
                        f"{unit:16} {len(result.passed):4} passed  "
                        f"{len(result.failed) - len(new):3} known differences  {len(new):3} failed",
                        flush=True,
                    )
        except SuiteError as error:
            print(f"redis suite: {error}", file=sys.stderr)
            return 2
    for reason, count in reasons.most_common():
        print(f"{count:4}  {reason}")
    for surprise in surprises:
        print(f"FAILED  {surprise}")
    return 1 if surprises and not options.plain else 0


if __name__ == "__main__":
    sys.exit(main())
