"""Reading ahead: while a restore applies one object, threads download, decrypt and unpack the next.

1. What comes out is what the Reader gives, in whatever order it is asked for; errors come out when
   the object is asked for that has them.
2. Memory is bounded: so many objects are on their way, of so many stored bytes together.
3. Nothing is read that nobody may ask for: the next ones are those behind the newest that was asked
   for, by the order of the log.
"""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from counter_node.archive.reader import Reader
from counter_node.archive.rules.contents import Contents
from counter_node.archive.rules.objects import LogPiece

OBJECTS: Final = 32
STORED_BYTES: Final = 8 << 20


class _Ahead:
    def __init__(self, reader: Reader, contents: Contents, pool: ThreadPoolExecutor) -> None:
        self._reader, self._contents, self._pool = reader, contents, pool
        self._coming: dict[int, Future[LogPiece]] = {}
        self._bytes = 0

    def log(self, first: int) -> LogPiece:
        for other in [other for other in self._coming if other < first]:
            self._taken(other).cancel()
        self._order(first)
        return self._taken(first).result()

    def _order(self, first: int) -> None:
        logs = self._contents.logs
        for at in range(bisect.bisect_left(logs, first), len(logs)):
            size = self._contents.log_sizes[logs[at]]
            full = len(self._coming) >= OBJECTS or self._bytes + size > STORED_BYTES
            if full and logs[at] != first:
                return
            if logs[at] not in self._coming:
                read = self._pool.submit(self._reader.log, self._contents.history, logs[at])
                self._coming[logs[at]] = read
                self._bytes += size

    def _taken(self, first: int) -> Future[LogPiece]:
        self._bytes -= self._contents.log_sizes[first]
        return self._coming.pop(first)


class AheadReader(Reader):
    """A reader of one history's log from front to back."""

    def __init__(self, reader: Reader, contents: Contents, pool: ThreadPoolExecutor) -> None:
        super().__init__(reader.store, reader.keys, threads=reader.threads)
        self._history = contents.history
        self._ahead = _Ahead(reader, contents, pool)

    def log(self, history: str, first: int) -> LogPiece:
        assert history == self._history, f"{history} is not {self._history}"
        return self._ahead.log(first)


@contextlib.contextmanager
def reading_ahead(reader: Reader, contents: Contents) -> Iterator[Reader]:
    """The same reader where it has no threads. At the end each thread finishes its request."""
    if not reader.threads:
        yield reader
        return
    pool = ThreadPoolExecutor(reader.threads, "reading-ahead")
    try:
        yield AheadReader(reader, contents, pool)
    finally:
        pool.shutdown(cancel_futures=True)
