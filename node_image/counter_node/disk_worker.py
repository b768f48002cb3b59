"""Runs disk jobs: inside the loop while the disk is quick, on a thread while it is not.

Waiting for fdatasync on a thread costs several milliseconds at the 99th percentile, because the thread must get the GIL back from a busy loop
before it can say that it is done; inside the loop it costs the sync itself, about 0.2 ms on a fast disk. But a slow disk inside the loop stops
heartbeats. So: inline by default; one sync over `SLOW_S`, or an average over `SLOW_AVERAGE_S`, moves the work to a thread for the next
`CAREFUL_JOBS` jobs. See docs/decisions/0005-disk-inline-or-thread.md.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable

SLOW_S = 0.020
SLOW_AVERAGE_S = 0.004
CAREFUL_JOBS = 500


class DiskWorker:
    """`submit` one job at a time; `done(error)` is called on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, observe: Callable[[float], None]) -> None:
        self._loop = loop
        self._observe = observe  # seconds of each job
        self._average_s = 0.0
        self._careful = 0
        self._jobs: queue.SimpleQueue[tuple[Callable[[], None], Callable[[BaseException | None], None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="disk", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], None], done: Callable[[BaseException | None], None], *, slow: bool = False, at_once: bool = False) -> None:
        """`slow` work (snapshot files) always goes to the thread. When the work was done inside the loop, `done` is called in its next round, after
        what came in meanwhile was read; with `at_once` before that, and before `submit` returns."""
        if slow or self._careful > 0:
            self._careful = max(0, self._careful - 1)
            self._jobs.put((work, done))
        elif at_once:
            done(self._timed(work))
        else:
            self._loop.call_soon(done, self._timed(work))

    def _timed(self, work: Callable[[], None]) -> BaseException | None:
        start = time.monotonic()
        error: BaseException | None = None
        try:
            work()
        except Exception as caught:
            error = caught
        took = time.monotonic() - start
        self._average_s += (took - self._average_s) / 16
        if took > SLOW_S or self._average_s > SLOW_AVERAGE_S:
            self._careful = CAREFUL_JOBS
        self._observe(took)
        return error

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, done = job
            error = self._timed(work)
            try:
                self._loop.call_soon_threadsafe(done, error)
            except RuntimeError:
                return  # the loop has ended

    def close(self) -> None:
        """Waits for the job under way."""
        self._jobs.put(None)
        self._thread.join(timeout=5)
