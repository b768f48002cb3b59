"""Runs disk jobs, a write and a sync each: inside the loop, beside it, or on a thread of the
interpreter, as disk_policy.py says."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable

from counter_node.fast.lanes import Syncer
from counter_node.node.disk_policy import DiskPolicy, Facts, Way
from counter_node.storage import Storage

Done = Callable[[BaseException | None], None]


class DiskWorker:
    """`submit` one job at a time; `done(error)` is called on the loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, storage: Storage, observe: Callable[[float], None]
    ) -> None:
        self._loop = loop
        self._storage = storage
        self._observe = observe  # seconds of each job
        self._jobs: queue.SimpleQueue[tuple[Callable[[], None], Done] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="disk", daemon=True)
        self._thread.start()
        self._beside: tuple[float, Done] | None = None  # when it began
        self._syncer = Syncer() if Syncer is not None else None
        self.policy = DiskPolicy(has_syncer=self._syncer is not None)
        if self._syncer is not None:
            loop.add_reader(self._syncer.done_fd, self._synced)

    def submit(self, write: Callable[[], None], done: Done, facts: Facts) -> None:
        """`write` is followed by the storage's sync. Of a follower's job that is waited for inside,
        `done` is called before `submit` returns; of a leader's, after what came in meanwhile was
        read."""
        way = self.policy.way(facts)
        if way is Way.THREAD:
            self._jobs.put((write, done))
        elif way is Way.BESIDE:
            self._start_beside(write, done)
        else:
            error, took_s = self._whole(write)
            if facts.leads:
                self._loop.call_soon(done, error)
            else:
                done(error)
            self.policy.took(took_s)
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
        self.policy.took(time.monotonic() - start)

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
            self.policy.took(took_s)
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
        """Waits for the job under way, of which nobody hears any more."""
        self._jobs.put(None)
        self._thread.join(timeout=5)
        if self._syncer is not None:
            self._loop.remove_reader(self._syncer.done_fd)
            self._syncer.close()


def _failure(work: Callable[[], None]) -> BaseException | None:
    try:
        work()
    except Exception as error:
        return error
    return None
