"""What was run and how it ended, and what is to be run next. Pure: lines in, lines out.

Rules:
1. A run is one test file, once, in one of the surroundings. Run n of a file is in surroundings n
   modulo their number, so that each gets its share.
2. Rounds go over all files before the next one begins: whoever interrupts a long run has seen every
   file equally often.
3. What was run on the same version is not run again; a record of another version does not count. A
   line that was cut off does not either.
4. A file is steady when every run of it that counts ended well. One that collected nothing, or
   skipped everything, says so in the table.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Sequence

QUIET, BUSY, ONE_CORE = "quiet", "busy", "one-core"
SURROUNDINGS = (QUIET, BUSY, ONE_CORE)
"""Nothing beside it; beside processes that never rest, one for each core; all of it on one core."""
PASSED, NOTHING = 0, 5
"""Exit codes of pytest."""


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    file: str
    number: int  # from 0
    surroundings: str


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    version: str
    file: str
    number: int
    surroundings: str
    seconds: float
    code: int
    failed: tuple[str, ...] = ()  # names of tests
    skipped: int = 0

    @property
    def good(self) -> bool:
        return self.code in (PASSED, NOTHING)


def line_of(record: Record) -> str:
    return json.dumps(dataclasses.asdict(record))


def read(lines: Iterable[str], version: str) -> list[Record]:
    """The records that count (rule 3)."""
    found = []
    for line in lines:
        try:
            record = Record(
                **{**(fields := json.loads(line)), "failed": tuple(fields.get("failed", ()))}
            )
        except (ValueError, TypeError, AttributeError):
            continue
        if record.version == version:
            found.append(record)
    return found


def plan(
    files: Sequence[str], times: int, surroundings: Sequence[str], done: Iterable[Record]
) -> Iterator[Run]:
    """What is left to run, in order (rules 1 to 3)."""
    known = {(r.file, r.number, r.surroundings) for r in done}
    for number in range(times):
        for file in files:
            run = Run(file, number, surroundings[number % len(surroundings)])
            if (run.file, run.number, run.surroundings) not in known:
                yield run


def chosen(files: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Those whose path has one of the words in it; all without a word. In order, none twice."""
    words = list(wanted)
    return sorted({file for file in files if not words or any(word in file for word in words)})


_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", re.MULTILINE)
_SKIPPED = re.compile(r"(\d+) skipped")


def outcome(output: str) -> tuple[tuple[str, ...], int]:
    """Names of the tests that failed, and how many were skipped, from what pytest prints."""
    skipped = _SKIPPED.findall(output)
    return tuple(dict.fromkeys(_FAILED.findall(output))), int(skipped[-1]) if skipped else 0


def table(records: Sequence[Record], surroundings: Sequence[str] = SURROUNDINGS) -> str:
    """One row a file: its runs, failures in each of the surroundings (of how many), the longest
    run; then each test that failed."""
    files = sorted({r.file for r in records})
    width = max([len(f) for f in files] + [4])
    rows = [
        f"{'file':{width}}  runs  failed  "
        + "  ".join(f"{s:>8}" for s in surroundings)
        + "  longest  skipped"
    ]
    for file in files:
        mine = [r for r in records if r.file == file]
        cells = [_share([r for r in mine if r.surroundings == s]) for s in surroundings]
        failed, longest, skipped = (
            sum(not r.good for r in mine),
            max(r.seconds for r in mine),
            max(r.skipped for r in mine),
        )
        note = " (nothing ran)" if all(r.code == NOTHING for r in mine) else ""
        row = (
            f"{file:{width}}  {len(mine):4}  {failed:6}  "
            + "  ".join(f"{c:>8}" for c in cells)
            + f"  {longest:5.0f} s  {skipped:7}{note}"
        )
        rows.append(row)
    failed = sum(not r.good for r in records)
    rows.append(f"{len(files)} files, {len(records)} runs, {failed} failed")
    for name, count in failures(records):
        rows.append(f"  {count} times: {name}")
    return "\n".join(rows)


def _share(records: Sequence[Record]) -> str:
    return f"{sum(not r.good for r in records)} of {len(records)}" if records else "-"


def failures(records: Iterable[Record]) -> list[tuple[str, int]]:
    """Each test that failed and how often, the most frequent first. A file that ended without
    naming one stands for itself."""
    counts: dict[str, int] = {}
    for record in records:
        if not record.good:
            for name in record.failed or (f"{record.file}: ended with {record.code}",):
                counts[name] = counts.get(name, 0) + 1
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
