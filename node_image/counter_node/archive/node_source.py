"""A running node as the source of an uploader, over its admin port (admin/feed.py).

The node is asked in small steps and never waits: a slow uploader, or none, costs it nothing. A
snapshot is copied to a temporary file before anything of it is uploaded, as the node may have
another one in force by then.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from counter_node.archive.rules import feed
from counter_node.archive.rules.errors import ArchiveError
from counter_node.archive.rules.feed import Feed
from counter_node.archive.rules.objects import LineageRecord
from counter_node.archive.rules.state import facts_of
from counter_node.archive.rules.uploading import Have
from counter_node.raft.types import Entry, SnapshotMeta

TIMEOUT_S = 15.0
_entries = msgspec.msgpack.Decoder(list[Entry])


class SourceError(ArchiveError):
    """The member did not answer, or cannot now. Trying again later is right."""


class HistoryChangedError(ArchiveError):
    """The member goes on in another history (RAFT.RECOVER): another line begins."""


def connect(address: str, tls: str = "") -> redis.Redis:
    """`tls`: a folder with ca.crt, tls.crt and tls.key, as the admin port asks for a certificate of
    the cluster."""
    host, _, port = address.rpartition(":")
    options: dict[str, Any] = {}
    if tls:
        folder = Path(tls)
        options = {
            "ssl": True,
            "ssl_ca_certs": str(folder / "ca.crt"),
            "ssl_certfile": str(folder / "tls.crt"),
            "ssl_keyfile": str(folder / "tls.key"),
        }
    return redis.Redis(
        host=host.strip("[]"), port=int(port), socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0), **options,
    )  # fmt: skip


class NodeSource:
    """Raises SourceError from every method."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._feed = self._ask_feed()
        self.history = self._feed.lineage[-1].id

    def lineage(self) -> LineageRecord:
        return LineageRecord(self._feed.cluster_id, self._feed.lineage)

    def refresh(self) -> None:
        """Asks what the node has now. Raises HistoryChangedError too."""
        self._feed = self._ask_feed()
        if self._feed.lineage[-1].id != self.history:
            raise HistoryChangedError(
                f"the node goes on in history {self._feed.lineage[-1].id}, and no longer in "
                f"{self.history}"
            )

    def have(self) -> Have:
        return Have(self._feed.applied, self._feed.first, self._feed.snapshot.index)

    def entries(self, first: int, last: int) -> Sequence[Entry]:
        try:
            found = _entries.decode(self._ask("RAFT.ENTRIES", first, last))
        except msgspec.DecodeError as error:
            raise SourceError(f"the node's entries are not readable: {error}") from error
        if not found or found[0].index != first or found[-1].index > last:
            raise SourceError(f"the node did not answer with the entries from {first} on")
        return found

    def open_snapshot(self) -> CopiedSnapshot:
        meta = self._feed.snapshot
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - the snapshot's to close
        try:
            while data := self._ask("RAFT.STATE", meta.index, copy.tell()):
                copy.write(data)
            return CopiedSnapshot(meta, copy)
        except BaseException:
            copy.close()
            raise

    def take_snapshot(self) -> None:
        self._ask("RAFT.SNAPSHOT")

    def _ask_feed(self) -> Feed:
        try:
            return feed.decode(self._ask("RAFT.ARCHIVE"))
        except msgspec.DecodeError as error:
            raise SourceError(f"the node's answer is not readable: {error}") from error

    def _ask(self, *words: str | int) -> Any:
        try:
            return self._client.execute_command(*words)
        except (redis.RedisError, OSError) as error:
            raise SourceError(f"{words[0]}: {error}") from error


class CopiedSnapshot:
    def __init__(self, meta: SnapshotMeta, copy: Any) -> None:
        copy.flush()
        self.meta = meta
        self.size = copy.tell()
        self._copy = copy
        with mmap.mmap(copy.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            try:
                with memoryview(mapped) as view:
                    facts = facts_of(view)
            except msgspec.DecodeError as error:
                raise SourceError(f"the node's snapshot is not readable: {error}") from error
        self.log_ms, self.utc_ms = facts.log_ms, facts.utc_ms

    def piece(self, offset: int, size: int) -> bytes:
        self._copy.seek(offset)
        return bytes(self._copy.read(size))

    def close(self) -> None:
        self._copy.close()
