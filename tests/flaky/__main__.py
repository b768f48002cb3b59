"""`python -m tests.flaky --times 20`: repeats test files and shows which of them are not steady.

A third of the runs of each file has nothing beside it, a third runs beside processes that never
rest, a third on one core. What a failed run printed is kept in build/flaky/. After an interruption,
also a kill, the same command goes on where it stopped, as long as nothing in the repository
changed. Exit code 1 when any run failed. Files of tests/e2e need KUBECONFIG (`make flaky` sets it);
without it they are left out, and that is printed."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.flaky.book import (
    ONE_CORE,
    QUIET,
    SURROUNDINGS,
    Record,
    Run,
    chosen,
    line_of,
    outcome,
    plan,
    read,
    table,
)
from tests.flaky.surroundings import end_with_parent, surroundings

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("integration", "clients", "apiserver", "simulation", "e2e")
KEPT = ROOT / "build" / "flaky"
LONGEST_S = 3600.0
"""A run that takes longer hangs; pytest-timeout ends a single test long before."""


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    files = chosen(_files(options.only), options.files)
    if not files:
        print("no test file has such a name", file=sys.stderr)
        return 2
    KEPT.mkdir(parents=True, exist_ok=True)
    version, log = _version(), KEPT / "runs.jsonl"
    if options.fresh:
        log.unlink(missing_ok=True)
    done = read(log.read_text().splitlines() if log.exists() else [], version)
    todo = list(plan(files, options.times, options.surroundings, done))
    print(
        f"{len(files)} files, {options.times} times each: {len(todo)} runs to go, version "
        f"{version}",
        file=sys.stderr,
    )
    code = 0
    try:
        for position, run in enumerate(todo, 1):
            record = perform(run, version, options.burners)
            done.append(record)
            with log.open("a") as file:
                file.write(line_of(record) + "\n")
            word = "ok" if record.good else f"FAILED, see {_output(run)}"
            print(
                f"{position}/{len(todo)}  {run.file}  {run.surroundings}  {record.seconds:.0f} s "
                f" {word}",
                file=sys.stderr,
                flush=True,
            )
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        code = 130
    shown = [r for r in done if r.file in files]
    print(table(shown, options.surroundings))
    return code or int(any(not r.good for r in shown))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests.flaky",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files", nargs="*", help="only files whose path has one of these words in it"
    )
    parser.add_argument(
        "--times",
        type=int,
        default=20,
        help="runs of each file, over all surroundings; default: 20",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=FOLDERS,
        default=[],
        help="only files of this folder; may be repeated",
    )
    parser.add_argument(
        "--surroundings",
        nargs="+",
        choices=SURROUNDINGS,
        default=list(SURROUNDINGS),
        help="default: all, in turn",
    )
    parser.add_argument(
        "--burners",
        type=int,
        default=os.cpu_count() or 1,
        help="processes that never rest; default: one for each core",
    )
    parser.add_argument("--fresh", action="store_true", help="forgets the runs that there were")
    options = parser.parse_args()
    if options.times < 1:
        parser.error(f"--times is {options.times}; at least 1")
    return options


def _files(only: list[str]) -> Iterator[str]:
    for folder in only or FOLDERS:
        if folder == "e2e" and not os.environ.get("KUBECONFIG"):
            print("tests/e2e is left out: there is no KUBECONFIG", file=sys.stderr)
            continue
        yield from (
            str(path.relative_to(ROOT)) for path in (ROOT / "tests" / folder).glob("test_*.py")
        )


def _version() -> str:
    """The commit, and a digest of what is not committed."""
    words = (
        ["describe", "--always", "--abbrev=10", "--exclude=*"],
        ["diff", "HEAD"],
        ["ls-files", "--others", "--exclude-standard"],
    )
    found = [
        subprocess.run(["git", *w], cwd=ROOT, capture_output=True, check=False).stdout
        for w in words
    ]
    commit, changed = found[0].decode().strip() or "unknown", b"".join(found[1:])
    for name in found[2].decode().splitlines():
        changed += (ROOT / name).read_bytes()
    return f"{commit}+{hashlib.sha256(changed).hexdigest()[:8]}" if changed else commit


def _output(run: Run) -> Path:
    return KEPT / (
        re.sub(r"\W+", "-", run.file.removeprefix("tests/").removesuffix(".py"))
        + f"-{run.number}-{run.surroundings}.txt"
    )


def perform(run: Run, version: str, burners: int) -> Record:
    """Runs the file, in a process group of its own. The output is deleted when the run was good."""
    where = run.surroundings
    if where == ONE_CORE and run.file.startswith("tests/e2e"):
        where = QUIET  # the cluster's processes are not ours to pin
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rfEs", run.file]
    output, start = _output(run), time.monotonic()
    with output.open("wb") as file, surroundings(where, burners):
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
        try:
            code = child.wait(LONGEST_S)
        except subprocess.TimeoutExpired:
            _end(child)
            code = -signal.SIGKILL
        except BaseException:
            _end(child)
            output.unlink()
            raise
    failed, skipped = outcome(output.read_text(errors="replace"))
    record = Record(
        version,
        run.file,
        run.number,
        run.surroundings,
        round(time.monotonic() - start, 1),
        code,
        failed,
        skipped,
    )
    if record.good:
        output.unlink()
    return record


def _end(child: subprocess.Popen[bytes]) -> None:
    """First politely: fixtures end the processes that they started."""
    child.send_signal(signal.SIGINT)
    try:
        child.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


if __name__ == "__main__":
    sys.exit(main())
