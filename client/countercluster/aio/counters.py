"""The counters of a cluster: what a program uses."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from countercluster import commands
from countercluster.addresses import Addresses, Binding
from countercluster.aio.cache import AsyncCache
from countercluster.aio.lane import AsyncLane, Patience
from countercluster.aio.waiting import Places, gone, owner
from countercluster.commands import Added, Batch, Command, Key
from countercluster.errors import CounterError, NotExecuted
from countercluster.owned import Owned

T = TypeVar("T")


class AsyncCounters:
    """Counters of one cluster, for any number of calls at the same time.

    `urls`: one or several addresses of the cluster, `redis://[user:password@]host:port` each
    (`rediss://` for TLS): its Service, or its nodes. Other nodes are asked for and remembered
    (`discover`). A call is repeated at the next address until it is answered or `deadline_s` has
    passed; while a majority of the nodes lives, a failover costs a second or two and no error. At
    most `connections` calls are under way, the others wait.

    `exactly_once=False` sends plain commands, and raises OutcomeUnknown as soon as one that was
    sent is not answered. `cache`: address of the Redis cache, for reads that may be a little old.
    `options`: those of redis-py's Connection, such as username, password, ssl_ca_certs,
    ssl_certfile, ssl_keyfile, client_name.

    Calls raise NotExecuted, OutcomeUnknown, ReplyLost or Refused (LimitReached is one), which are
    CounterErrors. Times are in seconds."""

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        cache: str | None = None,
        exactly_once: bool = True,
        deadline_s: float = 30.0,
        attempt_s: float = 2.5,
        connect_s: float = 1.0,
        connections: int = 64,
        discover: bool = True,
        cache_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self._patience = Patience(deadline_s, attempt_s, connect_s)
        self._exactly_once = exactly_once
        self._cache = None if cache is None else AsyncCache(cache, cache_options or {})
        self._pool = _Pool(Addresses(urls, options), connections, discover)

    @classmethod
    def bound(cls, folder: str | Path, **more: Any) -> Self:
        """By a mounted Secret `<name>-client`: addresses, certificates and password, the cache
        included. `more`: as for the constructor."""
        found = Binding(folder)
        cache = {"cache": found.cache, "cache_options": found.cache_options} if found.cache else {}
        return cls(found.url, **{**cache, **found.options, **more})

    def within(self, deadline_s: float) -> Self:
        """The same counters and connections with another deadline:
        `counters.within(0.5).incr("k")`."""
        other = copy.copy(self)
        other._patience = dataclasses.replace(self._patience, deadline_s=deadline_s)
        return other

    # --- writes -----------------------------------------------------------------------------------

    async def incr(
        self, key: Key, by: int = 1, *, at_most: int | None = None, window_s: float | None = None
    ) -> int:
        """Adds `by` and returns the new value. A counter that does not exist starts at 0.

        With `at_most` the value never passes it: LimitReached instead, and nothing is added. With
        `window_s` a counter that has no expiry gets this one; both together are a rate limit:
        `incr("calls:alice", at_most=100, window_s=60)`."""
        return await self._write(commands.incr(key, by, at_most=at_most, window_s=window_s))

    async def decr(self, key: Key, by: int = 1, *, at_least: int | None = None) -> int:
        """Takes `by` away and returns the new value. With `at_least` the value never falls below
        it: LimitReached instead."""
        return await self._write(commands.decr(key, by, at_least=at_least))

    async def add_within(
        self, key: Key, by: int, *, at_least: int | None = None, at_most: int | None = None
    ) -> Added:
        """Adds as much of `by` as the bounds allow; `Added(value, by)` tells how much that was."""
        return await self._write(commands.add_within(key, by, at_least=at_least, at_most=at_most))

    async def set(self, key: Key, value: int, *, ttl_s: float | None = None) -> None:
        """Without `ttl_s` an expiry that the counter had is gone."""
        await self._write(commands.put(key, value, ttl_s=ttl_s))

    async def compare_and_set(self, key: Key, expected: int | None, value: int) -> bool:
        """Sets the counter if its value is `expected` (None: if there is none), and keeps its
        expiry. Whether it was set."""
        return await self._write(commands.compare_and_set(key, expected, value))

    async def delete(self, key: Key) -> bool:
        """Whether there was such a counter."""
        return await self._write(commands.delete(key))

    async def expire(self, key: Key, ttl_s: float) -> bool:
        """The counter is gone after so long. Whether there was such a counter."""
        return await self._write(commands.expire(key, ttl_s))

    async def persist(self, key: Key) -> bool:
        """Whether there was an expiry to be taken away."""
        return await self._write(commands.persist(key))

    async def execute(self, batch: Batch) -> list[Any]:
        """All commands of the batch as one step, exactly once; their results in order, see
        Batch."""
        if not batch.commands:
            return []
        return await self._write(batch.request(), *batch.commands)

    # --- reads ------------------------------------------------------------------------------------

    async def get(
        self, key: Key, *, max_age_s: float | None = None, after: int | None = None
    ) -> int | None:
        """The value; None: there is no such counter. At least as new as anything that was
        acknowledged before the call.

        With `max_age_s` it may be so old (as far as the clocks agree), with `after` it is at least
        as new as that `mark()`; then the cache is asked first, and a node only if the cache has
        nothing fresh enough."""
        return (await self.mget([key], max_age_s=max_age_s, after=after))[0]

    async def mget(
        self, keys: Sequence[Key], *, max_age_s: float | None = None, after: int | None = None
    ) -> list[int | None]:
        """Several values, of one moment unless some came from the cache and some from a node;
        otherwise as `get`."""
        found: list[int | None] = [None] * len(keys)
        if self._cache is not None and not (max_age_s is None and after is None):
            found = await self._cache.read(tuple(keys), max_age_s, after)
        missing = [place for place, value in enumerate(found) if value is None]
        if missing:
            values = await self._read(commands.mget(tuple(keys[place] for place in missing)))
            for place, value in zip(missing, values, strict=True):
                found[place] = value
        return found

    async def ttl(self, key: Key) -> float | None:
        """Seconds until the counter is gone. None: never, or there is none."""
        return await self._read(commands.ttl(key))

    async def mark(self) -> int:
        """A point in the history that is after everything acknowledged so far: for `after=`, here
        or in another process."""
        async with self._pool.lane(self._patience.deadline_s) as lane:
            await lane.read(
                commands.get("mark"), self._patience
            )  # a linearizable read: the node that answers has executed all of it
            command = commands.position()
            return command.meaning(await lane.read(command, self._patience))

    # --- the end ----------------------------------------------------------------------------------

    async def close(self) -> None:
        await self._pool.close()
        if self._cache is not None:
            await self._cache.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _write(self, command: Command[T], *before: Command[Any]) -> T:
        async with self._pool.lane(self._patience.deadline_s) as lane:
            send = lane.write if self._exactly_once else lane.write_at_most_once
            return command.meaning(await send(command, self._patience, *before))

    async def _read(self, command: Command[T]) -> T:
        async with self._pool.lane(self._patience.deadline_s) as lane:
            return command.meaning(await lane.read(command, self._patience))


class _Lanes:
    """Lanes of one owner (owned.py) that nobody uses at the moment. Appending to a list and popping
    from it are single steps in Python, so threads need no lock."""

    def __init__(self, most: int) -> None:
        self.places = Places(most)
        self.idle: list[AsyncLane] = []


class _Pool:
    def __init__(self, addresses: Addresses, most: int, discover: bool) -> None:
        if most < 1:
            raise CounterError(f"connections is {most}; at least 1")
        self._addresses = addresses
        self._discover = discover
        self._closed = False
        self._lanes = Owned(owner, gone, lambda: _Lanes(most))

    @contextlib.asynccontextmanager
    async def lane(self, timeout_s: float) -> AsyncIterator[AsyncLane]:
        start = time.monotonic()
        lanes = self._lanes.mine()
        if not await lanes.places.take(timeout_s):
            raise NotExecuted(f"every connection was busy for {time.monotonic() - start:.1f} s")
        try:
            if self._closed:
                raise CounterError("these counters are closed")
            idle = lanes.idle
            lane = idle.pop() if idle else AsyncLane(self._addresses, self._discover)
            try:
                yield lane
            finally:
                idle.append(lane)
                if self._closed:
                    await self.close()
        finally:
            lanes.places.give()

    async def close(self) -> None:
        """Those of the caller. What another one uses it closes itself, when its call ends."""
        self._closed = True
        lanes = self._lanes.mine_if_any()
        while lanes is not None and lanes.idle:
            with contextlib.suppress(IndexError):
                await lanes.idle.pop().close()
