"""The counters of a cluster: `incr`, `decr`, `get`, `set`, `delete`, each exactly once."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from countercluster.errors import CounterError
from countercluster.lane import Lane, Patience, address


class Counters:
    """Counters of one cluster, for any number of threads.

    `urls`: one or several addresses of the cluster, `redis://host:port` each (`rediss://` for TLS): its Service, or its nodes. A call is repeated at
    the next address until it is answered or `deadline_s` has passed; while a majority of the nodes lives, a failover costs a second or two and no
    error. Every thread that calls at the same time has a connection of its own.

    `exactly_once=False` sends plain commands, and raises OutcomeUnknown as soon as one that was sent is not answered.

    All calls raise NotExecuted, OutcomeUnknown or Refused, which are CounterErrors.
    """

    def __init__(
        self, urls: str | Sequence[str], *, exactly_once: bool = True, deadline_s: float = 30.0, attempt_s: float = 2.5, connect_s: float = 1.0
    ) -> None:
        self._urls = [urls] if isinstance(urls, str) else list(urls)
        if not self._urls:
            raise CounterError("no address of the cluster was given")
        for url in self._urls:
            address(url)
        self._exactly_once = exactly_once
        self._patience = Patience(deadline_s, attempt_s, connect_s)
        self._first = itertools.count(random.randrange(len(self._urls)))
        self._idle: list[Lane] = []
        self._lock = threading.Lock()
        self._closed = False

    def incr(self, key: str, by: int = 1) -> int:
        """Adds `by` and returns the new value. A counter that does not exist starts at 0."""
        return self._write("INCRBY", key, by)

    def decr(self, key: str, by: int = 1) -> int:
        """Takes `by` away and returns the new value."""
        return self._write("DECRBY", key, by)

    def get(self, key: str) -> int | None:
        """The value now: at least as new as anything that was acknowledged before the call. None: there is no such counter."""
        with self._lane() as lane:
            reply = lane.read(("GET", key))
        return None if reply is None else int(reply)

    def set(self, key: str, value: int) -> None:
        with self._lane() as lane:
            (lane.write if self._exactly_once else lane.write_at_most_once)(("SET", key, value))

    def delete(self, key: str) -> bool:
        """Whether there was such a counter."""
        return self._write("DEL", key) == 1

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for lane in idle:
            lane.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _write(self, *command: str | int) -> int:
        with self._lane() as lane:
            return int((lane.write if self._exactly_once else lane.write_at_most_once)(command))

    @contextlib.contextmanager
    def _lane(self) -> Iterator[Lane]:
        with self._lock:
            if self._closed:
                raise CounterError("these counters are closed")
            lane = self._idle.pop() if self._idle else Lane(self._urls, next(self._first), self._patience)
        try:
            yield lane
        finally:
            with self._lock:
                keep = not self._closed
                if keep:
                    self._idle.append(lane)
            if not keep:
                lane.close()
