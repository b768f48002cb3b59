"""Publishes committed values to every Redis pod, so that cheap reads need not ask a node. Only the
leader publishes.

Rules:
1. A plain `GET key` in Redis gives the plain integer; a key that is not there (evicted, expired,
   never written) means "ask a node".
2. Latest value per key per turn: a burst of increments of one key is one write. Redis slow or dead
   never slows an increment: at most one request per Redis is under way, and what changes meanwhile
   is merged by key.
3. Every write goes through a script (script.py) that compares history, term and index with the
   fence kept in that same Redis. A deposed leader, whose term is older, is refused, and so is one
   of a history that was given up; the survivor of RAFT.RECOVER is not, whatever its numbers. A new
   leader writes nothing before it has applied an entry of its own term: until then its values may
   be older than those that its predecessor published.
4. The script also answers what the fence was. If it is not exactly what this leader wrote last,
   somebody else wrote, or Redis lost its memory: the leader refills everything. An empty Redis is
   noticed in the same way.
5. The heartbeat key tells what is in Redis for sure: all up to an index, and all that was
   acknowledged before a time. That time is when a round of the leader through a majority began
   (`Source.confirm`), not when the leader wrote: one that is cut off still writes, and knows less
   than it thinks.
6. A counter that expires does so in Redis too, by itself.
7. Bounded: changed keys that wait (then a refill takes their place), keys of a refill, keys of one
   request. Redis itself has its maxmemory.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from counter_node.cache.replica import CacheReplica, Counts, Source
from counter_node.logs import log
from counter_node.settings import address

RESOLVE_S = 2.0
CONFIRM_S = 0.1


class Publisher:
    """All Redis pods behind one name, resolved again and again as pods come and go. Runs while
    this node leads."""

    def __init__(
        self,
        target: str,
        source: Source,
        staleness: Callable[[float], object] = lambda _: None,
        secure: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._secure = secure
        self._host, self._port = address(target)
        self._source = source
        self._staleness = staleness
        self._replicas: dict[str, CacheReplica] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._as_of_ms = 0
        self._unresolved = ""
        self.counts = Counts()

    @property
    def running(self) -> bool:
        return bool(self._tasks)

    @property
    def staleness_s(self) -> float:
        """Age of the oldest Redis' last confirmed write. There is one at least each HEARTBEAT_S,
        unless something is wrong."""
        now = time.monotonic()
        return max((now - r.written_s for r in self._replicas.values()), default=0.0)

    @property
    def connected(self) -> int:
        return sum(r.connected for r in self._replicas.values())

    @property
    def known(self) -> int:
        """Redis pods behind the name."""
        return len(self._replicas)

    @property
    def error(self) -> str:
        """Why values do not reach a Redis, or why none is found; empty when all is well."""
        return next((r.error for r in self._replicas.values() if r.error), "") or self._unresolved

    @property
    def published_index(self) -> int:
        """What every connected Redis has at least."""
        return min((r.published_index for r in self._replicas.values() if r.connected), default=0)

    def start(self) -> None:
        """Begins again: nothing is known of what the Redis pods have."""
        loop = asyncio.get_running_loop()
        self._as_of_ms = 0
        self._tasks = [loop.create_task(self._resolve()), loop.create_task(self._confirm())]

    async def stop(self) -> None:
        """From the first step on nothing more is published; `start` may be called before it has
        ended."""
        tasks, self._tasks = self._tasks, []
        replicas, self._replicas = self._replicas, {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(
            *tasks, *(replica.close() for replica in replicas.values()), return_exceptions=True
        )

    def changed(self, keys: Iterable[bytes]) -> None:
        for replica in self._replicas.values():
            replica.changed(keys)

    def everything_changed(self) -> None:
        """So much that it is not listed by name, as after FLUSHALL."""
        for replica in self._replicas.values():
            replica.everything_changed()

    async def _resolve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            except OSError as error:
                log.debug(
                    "cache name not found: %s", error
                )  # those that are known stay: a name server may be down
                self._unresolved = "" if self._replicas else f"{self._host}: {error}"
            else:
                try:
                    await self._follow({str(info[4][0]) for info in found})
                    self._unresolved = ""
                except OSError as error:  # the file of the password or of the authorities
                    self._unresolved = f"{self._host}: {error}"
            await asyncio.sleep(RESOLVE_S)

    async def _follow(self, hosts: set[str]) -> None:
        for host in hosts - self._replicas.keys():
            self._replicas[host] = CacheReplica(
                host,
                self._port,
                self._source,
                as_of_ms=lambda: self._as_of_ms,
                counts=self.counts,
                staleness=self._staleness,
                secure=self._secure,
            )
        for gone in self._replicas.keys() - hosts:
            await self._replicas.pop(gone).close()

    async def _confirm(self) -> None:
        while True:
            begun_ms = time.time_ns() // 1_000_000
            if await self._source.confirm():
                self._as_of_ms = max(self._as_of_ms, begun_ms)
            await asyncio.sleep(CONFIRM_S)
