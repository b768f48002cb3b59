"""What `make flaky` plans, reads and shows."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.flaky.book import (
    BUSY,
    NOTHING,
    ONE_CORE,
    QUIET,
    SURROUNDINGS,
    Record,
    chosen,
    failures,
    line_of,
    outcome,
    plan,
    read,
    table,
)
from tests.flaky.surroundings import surroundings
from tests.support.devcluster import DevCluster


def record(file: str, number: int = 0, where: str = QUIET, code: int = 0, **more: object) -> Record:
    return Record("v", file, number, where, 1.0, code, **more)  # type: ignore[arg-type]


def test_each_round_goes_over_all_files_and_every_file_is_in_all_surroundings_in_turn() -> None:
    runs = list(plan(["a", "b"], 4, SURROUNDINGS, []))
    assert [(r.file, r.number) for r in runs] == [(f, n) for n in range(4) for f in "ab"]
    assert [r.surroundings for r in runs if r.file == "a"] == [QUIET, BUSY, ONE_CORE, QUIET]


def test_what_was_run_is_not_run_again_unless_the_version_is_another() -> None:
    done = [record("a", 0), record("a", 1, BUSY, 1, failed=("a::t",)), record("b", 0)]
    lines = [*map(line_of, done), line_of(record("c"))[:-5], "", "[]", "{}", "null"]
    assert read(lines, "v") == done
    assert read(lines, "another") == []
    assert [(r.file, r.number) for r in plan(["a", "b"], 2, SURROUNDINGS, read(lines, "v"))] == [
        ("b", 1)
    ]
    assert len(list(plan(["a", "b"], 2, [ONE_CORE], read(lines, "v")))) == 4, (
        "in other surroundings it was not run yet"
    )


def test_files_are_chosen_by_words_of_their_paths() -> None:
    files = [
        "tests/integration/test_a.py",
        "tests/clients/test_a.py",
        "tests/clients/test_b.py",
        "tests/clients/test_b.py",
    ]
    assert chosen(files, []) == sorted(set(files))
    assert chosen(files, ["test_b", "integration"]) == [
        "tests/clients/test_b.py",
        "tests/integration/test_a.py",
    ]
    assert chosen(files, ["nothing"]) == []


OUTPUT = """
.F.E
FAILED tests/x.py::test_a[one two] - AssertionError: no - really
ERROR tests/x.py::test_b - fixture
FAILED tests/x.py::test_a[one two] - AssertionError
SKIPPED [2] tests/x.py:10: no redis-cli
1 failed, 3 passed, 2 skipped, 1 error in 3.20s
"""


def test_the_names_of_failed_tests_and_the_number_of_skipped_ones_are_read_from_the_output() -> (
    None
):
    assert outcome(OUTPUT) == (("tests/x.py::test_a[one two]", "tests/x.py::test_b"), 2)
    assert outcome("....\n4 passed in 1 s\n") == ((), 0)


def test_the_table_says_of_each_file_how_often_it_ran_failed_and_where() -> None:
    records = [
        record("a", 0), record("a", 1, BUSY, 1, failed=("a::t",), skipped=3), record("a", 2,
        ONE_CORE, 1, failed=("a::t",)),
        record("b", 0), record("c", 0, code=NOTHING), record("d", 0, code=-9),
    ]  # fmt: skip
    rows = table(records).splitlines()
    assert rows[1].split() == [
        "a",
        "3",
        "2",
        "0",
        "of",
        "1",
        "1",
        "of",
        "1",
        "1",
        "of",
        "1",
        "1",
        "s",
        "3",
    ]
    assert rows[2].split() == ["b", "1", "0", "0", "of", "1", "-", "-", "1", "s", "0"]
    assert rows[3].endswith("(nothing ran)")
    assert rows[5] == "4 files, 6 runs, 3 failed"
    assert failures(records) == [("a::t", 2), ("d: ended with -9", 1)]
    assert table([]).splitlines()[-1] == "0 files, 0 runs, 0 failed"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are chosen on Linux only")
def test_on_one_core_children_have_one_core_and_afterwards_all_again() -> None:
    count = [sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"]
    before = os.sched_getaffinity(0)
    with surroundings(ONE_CORE, 1):
        assert subprocess.run(count, capture_output=True, check=True).stdout == b"1\n"
    assert os.sched_getaffinity(0) == before


def test_what_burns_a_core_ends_with_its_surroundings() -> None:
    path = f"/proc/{os.getpid()}/task/{os.getpid()}/children"
    if not os.path.exists(path):
        pytest.skip("children are listed on Linux only")

    def children() -> set[str]:
        with open(path) as file:
            return set(file.read().split())

    before = children()
    with surroundings(BUSY, 2):
        assert len(children() - before) == 2
    assert children() == before


def test_a_cluster_whose_beginning_is_interrupted_leaves_no_process_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its nodes lived on for half an hour when `make flaky` was ended."""
    cluster = DevCluster(tmp_path, 1)

    def interrupted(_: float) -> bool:
        while not cluster.output:
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(cluster._ready, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt), cluster:
        raise AssertionError("it never began")
    assert cluster._process is None or cluster._process.poll() is not None
    assert not any(Path(f"/proc/{pid}").exists() for pid in cluster._pids.values())
