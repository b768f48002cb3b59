"""The runner of Redis's suite reads its output right: what it overlooks would never be mended."""

from __future__ import annotations

from tests.redis_suite import __main__ as suite

OUTPUT = """Starting test server at port 21079
\x1b[1;37;49mTesting unit/expire\x1b[0m
[\x1b[0;32;49mok\x1b[0m]: SETEX - Check value (3 ms)
[\x1b[0;31;49merr\x1b[0m]: {standalone} SCAN, issue #4906 in tests/unit/scan.tcl
Expected '1' to be equal to '2'
[\x1b[0;34;49mignore\x1b[0m]: MULTI with BGREWRITEAOF: Not supported on external server
[1/1 done]: unit/expire (0 seconds)
!!! WARNING The following tests failed:
*** [err]: {standalone} SCAN, issue #4906 in tests/unit/scan.tcl
"""


def test_each_result_is_counted_once() -> None:
    assert suite.read(OUTPUT) == suite.Result(["SETEX - Check value"], ["SCAN, issue #4906"], 1)


def test_a_unit_that_breaks_off_has_failed() -> None:
    assert "did not end" in suite.read(OUTPUT.partition("[1/1")[0]).failed[-1]
    assert "exception" in suite.read("[exception]: Executing test client: boom").failed[0]


def test_a_name_is_the_same_in_every_version_of_redis() -> None:
    new, old = (
        suite.known_differences(f"# why\nscan: {prefix}SSCAN\n") for prefix in ("{standalone} ", "")
    )
    assert new == old == {("scan", "SSCAN"): "why"}


def test_every_known_difference_names_a_unit_and_stands_under_a_reason() -> None:
    known = suite.known_differences((suite.HERE / "differences.txt").read_text())
    assert known
    assert all(unit in suite.UNITS and name and reason for (unit, name), reason in known.items())
