"""The checks of time in the fault runs notice what they are for."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.timed import Slow, Timed
from tests.support import clocks
from tests.support.clocks import Clocks

READ = (
    "import time\nwhile input():\n    print(time.time(), "
    "time.clock_gettime(time.CLOCK_BOOTTIME), flush=True)"
)


def test_a_counter_that_is_gone_before_its_time_is_reported() -> None:
    timed = Timed([])
    timed._gone("k", 10.0, 9.6)
    assert not timed.problems
    timed._gone("k", 10.0, 9.4)
    assert timed.problems == ["early: k with 10.0 s was gone after 9.40 s"]
    assert (timed.expired, round(timed.least, 2)) == (2, 0.94)


def test_a_counter_that_is_kept_beyond_its_time_is_reported_unless_a_slow_clock_explains_it() -> (
    None
):
    slow = Slow()
    slow._periods.append((100.0, 108.0, 0.5))
    timed = Timed([], slow=slow)
    assert timed._may_live("k", 10.0, 100.0, 113.4)
    assert timed._may_live("k", 10.0, 100.0, 117.4), (
        "the running clock of a leader may have lost 4 s"
    )
    assert not timed._may_live("k", 10.0, 100.0, 117.6)
    assert timed.problems[0].startswith("late: k with 10.0 s was still there 3.60 s after")
    slow.set(0.5)
    assert slow.lost_s(time.monotonic(), time.monotonic() + 10) == pytest.approx(5, abs=0.1)
    slow.set(1.0)
    assert slow.lost_s(time.monotonic() + 1, time.monotonic() + 10) == 0


class Answers(Timed):
    """A cluster that counts the repeated increment twice."""

    def __init__(self) -> None:
        super().__init__([], workers=0)
        self.asked = 0

    async def _ask(self, *command: str | int) -> Any:
        self.asked += 1
        return 1 if self.asked < 3 else 2, 0.0, 0.0


def test_an_increment_that_counts_again_is_reported() -> None:
    async def work() -> list[str]:
        timed = Answers()
        timed.start()
        await asyncio.wait(timed._tasks)
        return timed.problems

    assert asyncio.run(work())[0].startswith("twice: once-")


@pytest.mark.skipif(clocks.COMPILER is None or not shutil.which("cc"), reason=clocks.MISSING)
def test_both_clocks_of_a_process_are_set_while_it_runs(tmp_path: Path) -> None:
    them = Clocks(tmp_path, 1)
    environment = {**them.environment, "TEST_CLOCKS_FILE": them.environment["TEST_CLOCKS_FILE_0"]}
    with subprocess.Popen(
        [sys.executable, "-c", READ],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def read() -> tuple[float, float, float]:
            print("now", file=process.stdin, flush=True)
            assert process.stdout is not None
            wall, running = map(float, process.stdout.readline().split())
            return wall - time.time(), running, time.monotonic()

        assert abs(read()[0]) < 5
        them.wall(0, 3_600.0)
        assert abs(read()[0] - 3_600) < 5
        before = read()
        them.wall(0, rate=0.0)
        them.running(0, 0.5)
        first = read()
        assert first[1] >= before[1], "a running clock is never set"
        time.sleep(0.4)
        last = read()
        assert last[0] < first[0] - 0.3, "the wall stands still"
        assert (last[1] - first[1]) < 0.9 * (last[2] - first[2])
        process.stdin.close()
