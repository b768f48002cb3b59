"""Archiving a running node for as long as the process lives: every interval what is applied by then
goes into the archive, and a snapshot when one is due.

1. A node or a store that does not answer is tried again at the next interval; nothing else happens.
   The node is not asked more often, and never waits.
2. Keys are read again at every interval, so that they can be changed under way.
3. What it did stands in the status: how far the archive reaches, how much is missing, why. The
   moment of the last success is there, as a stall shows in what is missing and never in errors.
4. A fork ends it, with words. So do an archive of a later version, and a store that replaces
   objects, unless it is said that no other program writes there.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from counter_node.archive.node_source import HistoryChangedError, NodeSource
from counter_node.archive.rules.errors import ArchiveError, ForkedError, NewerFormatError
from counter_node.archive.rules.sealing import Keys
from counter_node.archive.stores import Store, UnconditionalStoreError, probe
from counter_node.archive.uploader import Uploader

FATAL: Final = (ForkedError, NewerFormatError, UnconditionalStoreError)


class Status(msgspec.Struct):
    """`behind`: entries that the node has applied and the archive does not have. `complete_at`:
    when nothing was missing last, by this machine's clock; 0: not yet."""

    history: str = ""
    archived: int = 0
    applied: int = 0
    behind: int = 0
    snapshot: int = 0
    complete_at: float = 0.0
    wants: str = ""
    error: str = ""


class Service:
    def __init__(
        self,
        store: Store,
        connect: Callable[[], NodeSource],
        keys: Callable[[], Keys],
        *,
        interval_s: float,
        only_uploader: bool = False,
    ) -> None:
        """`connect` raises SourceError while the node does not answer."""
        self.status = Status()
        self.on_status: Callable[[Status], None] = lambda status: None
        self._store, self._connect, self._keys = store, connect, keys
        self._interval_s = interval_s
        self._probed = only_uploader
        self._source: NodeSource | None = None
        self._uploader: Uploader | None = None

    def run(self, stop: threading.Event) -> None:
        """Until `stop`, which is seen between two writes. Raises ArchiveError for what trying again
        does not mend."""
        try:
            while not stop.is_set():
                due = time.monotonic() + self._interval_s
                self.one_pass(stop)
                stop.wait(max(0.0, due - time.monotonic()))
        finally:
            self._let_go()

    def one_pass(self, stop: threading.Event) -> None:
        status = self.status
        try:
            self._pass(stop)
            status.error = ""
        except FATAL:
            raise
        except ArchiveError as error:
            status.error = str(error)
            if isinstance(error, HistoryChangedError):
                self._let_go()
        self._note()
        self.on_status(status)

    def _pass(self, stop: threading.Event) -> None:
        if not self._probed:
            probe(self._store)
            self._probed = True
        keys = self._keys()
        if self._source is None or self._uploader is None:
            self._source = self._connect()
            self._uploader = Uploader(self._store, self._source, keys)
        self._uploader.keys = keys
        self._source.refresh()
        wants = self._steps(self._uploader, stop)
        if wants:
            self._source.take_snapshot()
            self._source.refresh()
            wants = self._steps(self._uploader, stop)
        self.status.wants = wants

    def _steps(self, uploader: Uploader, stop: threading.Event) -> str:
        """All that is due. While a large snapshot is on its way, the log goes on every interval."""
        due = time.monotonic() + self._interval_s
        while not stop.is_set():
            done = uploader.step()
            if not done.wrote:
                if not done.wants and uploader.behind == 0:
                    self.status.complete_at = time.time()
                return done.wants
            if time.monotonic() >= due and self._source is not None:
                self._source.refresh()
                due = time.monotonic() + self._interval_s
        return ""

    def _note(self) -> None:
        status, uploader, source = self.status, self._uploader, self._source
        if uploader is None or source is None:
            return
        there = uploader.there
        status.history, status.applied = source.history, source.have().committed
        status.archived = there.end if there else 0
        status.snapshot = there.snapshot if there else 0
        status.behind = uploader.behind

    def _let_go(self) -> None:
        if self._uploader is not None:
            self._uploader.close()
        self._source = self._uploader = None


def write_status(path: Path, status: Status) -> None:
    """Whole or not at all, for whoever reads it meanwhile."""
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(msgspec.structs.asdict(status)) + "\n")
    os.replace(new, path)
