"""Runs disk jobs, a write and a sync each: inside the loop, beside it, or on a thread of the
interpreter.

    inside   A follower's, which has nothing else to do, and the leader waits for it; and what a
             leader does not want beside. Nothing is cheaper.
    beside   A leader's, where `fast/syncer.pyx` is compiled: the write inside, then a thread that
             never needs the GIL calls fdatasync, and the loop
             goes on. For many commands, to read what the many others send; for one, as the
             followers may have it durable before this disk has. Without the module: inside.
    thread   For as long as the disk is slow, and for what always is (snapshot files): all of it on
             a thread, so that not even a write that hangs
             stops heartbeats. When it is done it must get the GIL back from a busy loop, which
             costs milliseconds at the 99th percentile.

One job over `SLOW_S` inside the loop, or an average over `SLOW_AVERAGE_S`, moves the next
`CAREFUL_JOBS` to the thread. See docs/decisions/0005-disk-inline-or-thread.md."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable

from counter_node.fast.lanes import Syncer
from counter_node.storage import Storage

SLOW_S = 0.020
SLOW_AVERAGE_S = 0.004
CAREFUL_JOBS = 500
Done = Callable[[BaseException | None], None]


class DiskWorker:
    """`submit` one job at a time; `done(error)` is called on the loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, storage: Storage, observe: Callable[[float], None]
    ) -> None:
        self._loop = loop
        self._storage = storage
        self._observe = observe  # seconds of each job
        self._average_s = 0.0
        self._careful = 0
        self._jobs: queue.SimpleQueue[tuple[Callable[[], None], Done] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="disk", daemon=True)
        self._thread.start()
        self._beside: tuple[float, Done] | None = None  # when it began
        self._syncer = Syncer() if Syncer is not None else None
        if self._syncer is not None:
            loop.add_reader(self._syncer.told, self._synced)

    def submit(
        self,
        write: Callable[[], None],
        done: Done,
        *,
        slow: bool = False,
        leads: bool = False,
        beside: bool = False,
    ) -> None:
        """`write` is followed by the storage's sync. `slow` work always goes to the thread. Of a
        follower, `done` is called before `submit` returns; of a leader, after what came in
        meanwhile was read."""
        if slow or self._careful > 0:
            self._careful = max(0, self._careful - 1)
            self._jobs.put((write, done))
        elif beside and self._syncer is not None:
            self._start_beside(write, done)
        else:
            error, took_s = self._whole(write)
            if leads:
                self._loop.call_soon(done, error)
            else:
                done(error)
            self._mind(took_s)
            self._observe(took_s)

    def _whole(self, write: Callable[[], None]) -> tuple[BaseException | None, float]:
        """The write and the sync; how long they took."""
        start = time.monotonic()
        error = None
        try:
            write()
            self._storage.sync()
        except Exception as failure:
            error = failure
        return error, time.monotonic() - start

    def _mind(self, blocked_s: float) -> None:
        """How long the disk kept the loop."""
        self._average_s += (blocked_s - self._average_s) / 16
        if blocked_s > SLOW_S or self._average_s > SLOW_AVERAGE_S:
            self._careful = CAREFUL_JOBS

    # --- beside the loop --------------------------------------------------------------------------

    def _start_beside(self, write: Callable[[], None], done: Done) -> None:
        assert self._syncer is not None
        start = time.monotonic()
        error = _failure(write)
        descriptor = None if error is not None else self._storage.begin_sync()
        if descriptor is None:
            self._loop.call_soon(done, error or _failure(self._storage.sync))
        else:
            self._beside = (start, done)
            self._syncer.start(descriptor)
        self._mind(time.monotonic() - start)

    def _synced(self) -> None:
        assert self._syncer is not None
        assert self._beside is not None
        (start, done), self._beside = self._beside, None
        errno = self._syncer.result()
        error = _failure(lambda: self._storage.end_sync(errno))
        self._observe(time.monotonic() - start)
        done(error)

    # --- on the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            write, done = job
            error, took_s = self._whole(write)
            self._mind(took_s)
            self._observe(took_s)
            try:
                self._loop.call_soon_threadsafe(done, error)
            except RuntimeError:
                return  # the loop has ended
            del (
                job,
                write,
                done,
                error,
            )  # else they stay until the next job comes, with all that they hold

    def close(self) -> None:
        """Waits for the job under way, of which nobody is told any more."""
        self._jobs.put(None)
        self._thread.join(timeout=5)
        if self._syncer is not None:
            self._loop.remove_reader(self._syncer.told)
            self._syncer.close()


def _failure(work: Callable[[], None]) -> BaseException | None:
    try:
        work()
    except Exception as error:
        return error
    return None
