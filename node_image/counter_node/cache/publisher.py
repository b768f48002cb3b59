"""Publishes committed values to every Redis pod, so that cheap reads need not ask a node. Only the leader publishes.

Rules:
1. A plain `GET key` in Redis gives the plain integer; a key that is not there (evicted, expired, never written) means "ask a node".
2. Latest value per key per turn: a burst of increments of one key is one write. Redis slow or dead never slows an increment: at most one request
   per Redis is under way, and what changes meanwhile is merged by key.
3. Every write goes through a script that compares (term, index) with the fence kept in that same Redis. A deposed leader, whose term is older, is
   refused.
4. The script also answers what the fence was. If it is not exactly what this leader wrote last, somebody else wrote, or Redis lost its memory:
   the leader refills everything. An empty Redis is noticed in the same way.
5. The heartbeat key tells index, term and time of the last publication, at least once a second, so that a reader can bound staleness.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from counter_node.logs import log
from counter_node.settings import address

FENCE = "countercluster:{fence}"
HEARTBEAT = "countercluster:{heartbeat}"
HEARTBEAT_S = 1.0
RESOLVE_S = 2.0
TIMEOUT_S = 2.0
CHUNK_KEYS = 2_000
MAX_DIRTY_KEYS = 200_000

# KEYS: fence, heartbeat, keys…   ARGV: term, index, time in ms, expected fence ("term:index", or "" for a refill), values ("" deletes)…
# Answers "ok", "stale <fence>" (a newer leader wrote) or "refill <fence>" (not what the caller wrote last; nothing was written).
SCRIPT = """
local fence = redis.call('GET', KEYS[1])
local term, index = tonumber(ARGV[1]), tonumber(ARGV[2])
if fence then
  local colon = string.find(fence, ':', 1, true)
  local t, i = tonumber(string.sub(fence, 1, colon - 1)), tonumber(string.sub(fence, colon + 1))
  if t > term or (t == term and i > index) then return 'stale ' .. fence end
end
if ARGV[4] ~= '' and ARGV[4] ~= fence then return 'refill ' .. (fence or 'none') end
for n = 3, #KEYS do
  local value = ARGV[n + 2]
  if value == '' then redis.call('DEL', KEYS[n]) else redis.call('SET', KEYS[n], value) end
end
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. ARGV[2])
redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3])
return 'ok'
"""


class Source(Protocol):
    """What the publisher reads from the node."""

    def position(self) -> tuple[int, int]:
        """(term, applied index) while this node leads."""

    def values(self) -> dict[bytes, int]:
        """The live values; read only."""


class CacheReplica:
    """One Redis pod: its own connection, its own queue of changed keys, its own fence."""

    def __init__(self, host: str, port: int, source: Source) -> None:
        self.endpoint = f"{host}:{port}"
        self.connected = False
        self.published_index = 0
        self.written_s = time.monotonic()  # when it confirmed a write last; at first, when it was found
        self.refills = 0
        self.failures = 0
        self._source = source
        self._client = redis.asyncio.Redis(
            host=host,
            port=port,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            single_connection_client=True,
            retry=Retry(NoBackoff(), 0),
        )
        self._dirty: set[bytes] = set()
        self._expected = ""  # what we wrote to the fence last; "" = unknown, refill
        self._wake = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def changed(self, keys: Iterable[bytes]) -> None:
        self._dirty.update(keys)
        if len(self._dirty) > MAX_DIRTY_KEYS:
            self._dirty.clear()
            self._expected = ""  # a refill is cheaper, and bounds the memory
        self._wake.set()

    def everything_changed(self) -> None:
        self._expected = ""
        self._dirty.clear()
        self._wake.set()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._publish()
                self.connected = True
            except (RedisError, OSError, TimeoutError) as error:
                if self.connected:
                    log.warning("cache not reached: %s", error, extra={"cache": self.endpoint})
                self.connected = False
                self.failures += 1
                self._expected = ""
                await asyncio.sleep(HEARTBEAT_S)

    async def _publish(self) -> None:
        if not self._expected:
            await self._refill()
        keys, self._dirty = list(self._dirty), set()
        for start in range(0, max(1, len(keys)), CHUNK_KEYS):
            if not await self._write(keys[start : start + CHUNK_KEYS], self._expected):
                self.everything_changed()
                return

    async def _refill(self) -> None:
        """Clear what may be stale, then write every counter, in chunks. Keys that change meanwhile are written again afterwards."""
        term, index = self._source.position()
        if not await self._write([], ""):
            raise RedisError("a newer leader publishes to this cache")
        self.refills += 1
        log.info("cache refill", extra={"cache": self.endpoint, "term": term, "index": index})
        stale = await self._keys_in_cache()
        self._dirty.update(stale)
        self._dirty.update(self._source.values().keys())

    async def _keys_in_cache(self) -> list[bytes]:
        return [key async for key in self._client.scan_iter(count=1000) if not key.startswith(b"countercluster:{")]

    async def _write(self, keys: list[bytes], expected: str) -> bool:
        """False when the fence in Redis is not what this leader wrote last."""
        term, index = self._source.position()
        values = self._source.values()
        now_ms = str(int(time.time() * 1000))
        texts = [b"" if (value := values.get(key)) is None else b"%d" % value for key in keys]
        arguments: list[Any] = [FENCE, HEARTBEAT, *keys, term, index, now_ms, expected, *texts]
        answer = await self._client.eval(SCRIPT, 2 + len(keys), *arguments)
        if answer != b"ok":
            log.info("cache fence: %s", answer.decode(), extra={"cache": self.endpoint, "term": term, "index": index})
            return False
        self._expected = f"{term}:{index}"
        self.published_index = index
        self.written_s = time.monotonic()
        return True

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        with contextlib.suppress(RedisError, OSError):
            await self._client.aclose()


class Publisher:
    """All Redis pods behind one name, looked up again and again as pods come and go. Runs while this node leads."""

    def __init__(self, target: str, source: Source, on_change: Callable[[], None] = lambda: None) -> None:
        self._host, self._port = address(target)
        self._source = source
        self._on_change = on_change
        self._replicas: dict[str, CacheReplica] = {}
        self._task: asyncio.Task[None] | None = None
        self._gone = [0, 0]  # refills and failures of Redis pods that are not there any more

    @property
    def running(self) -> bool:
        return self._task is not None

    @property
    def connected(self) -> int:
        return sum(r.connected for r in self._replicas.values())

    @property
    def published_index(self) -> int:
        """What every connected Redis has at least."""
        return min((r.published_index for r in self._replicas.values() if r.connected), default=0)

    @property
    def staleness_s(self) -> float:
        """Age of the oldest Redis' last confirmed write. There is one at least each HEARTBEAT_S, unless something is wrong."""
        now = time.monotonic()
        return max((now - r.written_s for r in self._replicas.values()), default=0.0)

    @property
    def refills(self) -> int:
        return self._gone[0] + sum(r.refills for r in self._replicas.values())

    @property
    def failures(self) -> int:
        return self._gone[1] + sum(r.failures for r in self._replicas.values())

    def counts(self) -> dict[str, tuple[int, int]]:
        """Endpoint → (refills, failures)."""
        return {r.endpoint: (r.refills, r.failures) for r in self._replicas.values()}

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._resolve())

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        replicas, self._replicas = self._replicas, {}
        for replica in replicas.values():
            await self._close(replica)

    async def _close(self, replica: CacheReplica) -> None:
        self._gone[0] += replica.refills
        self._gone[1] += replica.failures
        await replica.close()

    def changed(self, keys: Iterable[bytes]) -> None:
        for replica in self._replicas.values():
            replica.changed(keys)

    def everything_changed(self) -> None:
        for replica in self._replicas.values():
            replica.everything_changed()

    async def _resolve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, family=socket.AF_INET)
                hosts = {str(info[4][0]) for info in found}
            except OSError as error:
                log.debug("cache name not found: %s", error)
                hosts = set()
            for gone in self._replicas.keys() - hosts:
                await self._close(self._replicas.pop(gone))
            for host in hosts - self._replicas.keys():
                self._replicas[host] = CacheReplica(host, self._port, self._source)
            await asyncio.sleep(RESOLVE_S)
