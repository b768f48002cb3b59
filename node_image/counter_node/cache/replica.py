"""One Redis pod: its own connection, its own changed keys, its own fence. The rules are in
publisher.py."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from counter_node.cache.script import FENCE, HEARTBEAT, PREFIX, SCRIPT
from counter_node.logs import log

PACE_S: Final = 0.01
"""At least so long between two publications: what changes meanwhile is one write for each key."""
HEARTBEAT_S: Final = 0.2
PAUSE_S: Final = 1.0
TIMEOUT_S: Final = 2.0
MAX_ERROR: Final = 300
CHUNK_KEYS: Final = 500
MAX_DIRTY_KEYS: Final = 200_000
REFILL_MOST_KEYS: Final = 500_000
"""A cache need not have everything. Other keys come when they change; until then a reader asks a
node."""


class Source(Protocol):
    """What is read of the node."""

    def position(self) -> tuple[int, int] | None:
        """(term, applied index) of a leader that has applied an entry of its own term; None: what
        it has may be older than what a Redis has."""

    def histories(self) -> Sequence[str]:
        """Ids of the histories that led to what it has, the newest last; empty in a cluster
        without."""

    def values(self) -> Mapping[bytes, int]:
        """The live values; read only."""

    def deadlines(self) -> Mapping[bytes, int]:
        """Log time at which a key is gone, for those that expire; read only."""

    def offset_ms(self) -> int:
        """UTC is log time plus this."""

    def page(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """Some names of counters, from a place on, and the place to go on from: 0 when those were
        all. See counters/keyspace.py."""

    async def confirm(self) -> bool:
        """Whether this node still led after the call began, so that what it has applied on return
        is all that was acknowledged before."""


@dataclasses.dataclass
class Counts:
    """Of all Redis pods together, since the node began."""

    publications: int = 0
    keys: int = 0
    refills: int = 0
    failures: int = 0
    fenced: int = 0


FENCED_BY: Final = {
    "stale": "a newer leader publishes",
    "foreign": "a newer history publishes, or another cluster, which needs a Redis of its own "
    "(or this one emptied)",
    "this": "nothing is published",
}


class FencedOff(Exception):
    """A newer leader publishes to this Redis, or one of another history."""


class LostFence(Exception):
    """Redis lost its memory, or somebody else wrote."""


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """A write whose answer may never come."""

    fence: str
    before: str
    keys: Sequence[bytes]


class CacheReplica:
    def __init__(
        self,
        host: str,
        port: int,
        source: Source,
        *,
        as_of_ms: Callable[[], int] = lambda: 0,
        counts: Counts | None = None,
        staleness: Callable[[float], object] = lambda _: None,
        secure: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        """`as_of_ms`: unix ms before which nothing was acknowledged that this node has not applied.
        `staleness`: gets, for each publication, the seconds from its oldest change to the answer
        of Redis. `secure`: options of redis-py for password and TLS."""
        self.endpoint = f"{host}:{port}"
        self.connected = False
        self.error = ""
        """Why the last publication failed; empty since one has succeeded."""
        self.published_index = 0
        self.written_s = (
            time.monotonic()
        )  # when it confirmed a write last; at first, when it was found
        self.counts = counts if counts is not None else Counts()
        self._source = source
        self._as_of_ms = as_of_ms
        self._staleness = staleness
        self._client: Any = redis.asyncio.Redis(
            host=host,
            port=port,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            single_connection_client=True,
            retry=Retry(NoBackoff(), 0),
            **secure(),
        )
        self._script = self._client.register_script(SCRIPT)
        self._dirty: set[bytes] = set()
        self._dirty_since = 0.0
        self._whole = False  # Redis has all that it should have, but for what is dirty
        self._refilling = False  # and will have, when the refill that is under way is done
        self._expected = ""  # what we wrote to the fence last
        self._attempt: Attempt | None = None
        self._wake = asyncio.Event()
        self._closing = False
        self._task = asyncio.get_running_loop().create_task(self._run())

    def changed(self, keys: Iterable[bytes]) -> None:
        if not self._dirty:
            self._dirty_since = time.monotonic()
        self._dirty.update(keys)
        if len(self._dirty) > MAX_DIRTY_KEYS:
            self.everything_changed()  # a refill is cheaper, and bounds the memory
        self._wake.set()

    def everything_changed(self) -> None:
        self._whole = self._refilling = False
        self._attempt = None
        self._dirty.clear()
        self._wake.set()

    async def close(self) -> None:
        # redis-py waits by asyncio.wait_for, which loses a cancellation on Python 3.11 when its
        # answer has just come
        self._closing = True
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        with contextlib.suppress(RedisError, OSError):
            await self._client.aclose()

    async def _run(self) -> None:
        while not self._closing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._wake.wait()
            self._wake.clear()
            pause_s = PAUSE_S
            try:
                await self._publish()
                self.connected, self.error = True, ""
                pause_s = PACE_S
            except FencedOff as error:
                self.counts.fenced += 1
                log.info(
                    "cache: %s: %s",
                    FENCED_BY[str(error).partition(" ")[0]],
                    error,
                    extra={"cache": self.endpoint},
                )
            except LostFence as error:
                log.info("cache: %s", error, extra={"cache": self.endpoint})
                pause_s = HEARTBEAT_S
                self._wake.set()
            except (RedisError, OSError, TimeoutError) as error:
                if self.connected:
                    log.warning("cache not reached: %s", error, extra={"cache": self.endpoint})
                self.connected, self.error = (
                    False,
                    f"{self.endpoint}: {str(error) or type(error).__name__}"[:MAX_ERROR],
                )
                self.counts.failures += 1
            await asyncio.sleep(pause_s)

    async def _publish(self) -> None:
        if self._source.position() is None:
            return
        if self._attempt is not None:
            await self._settle(self._attempt)
        if not self._whole:
            await self._refill()
        since = self._dirty_since if self._dirty else 0.0
        position = await self._write_changes(heartbeat=True)
        self.published_index = position[1]
        self.counts.publications += 1
        if since:
            self._staleness(time.monotonic() - since)

    async def _settle(self, attempt: Attempt) -> None:
        """The fence tells whether a write was executed whose answer did not come, so that not all
        must be written again."""
        fence = await self._client.get(FENCE)
        self._attempt = None
        if fence is None or fence.decode() not in (attempt.fence, attempt.before):
            self.everything_changed()
            return
        self._expected = fence.decode()
        self._dirty.update(attempt.keys)

    async def _refill(self) -> None:
        """What is in Redis is made right, then what is not there is written. Until it is done there
        is no heartbeat: nobody shall rely on it."""
        self.counts.refills += 1
        self._refilling = True
        log.info("cache refill", extra={"cache": self.endpoint})
        self._expected = ""
        await self._write([], "drop")
        cursor = 0
        while True:
            cursor, page = await self._client.scan(cursor, count=CHUNK_KEYS)
            await self._write([key for key in page if not key.startswith(PREFIX)], "keep")
            await self._write_changes(heartbeat=False)
            if cursor == 0:
                break
        cursor = written = 0
        while written < REFILL_MOST_KEYS:
            cursor, page = self._source.page(cursor, CHUNK_KEYS)
            written += len(page)
            await self._write(page, "keep")
            await self._write_changes(heartbeat=False)
            if cursor == 0:
                break
        self._whole = self._refilling

    async def _write_changes(self, *, heartbeat: bool) -> tuple[int, int]:
        """All that had changed by now. The heartbeat speaks of this moment, so it goes with the
        last part."""
        position = self._position()
        text = f"{position[0]} {position[1]} {self._as_of_ms()}" if heartbeat else "keep"
        keys = list(self._dirty)
        for start in range(0, max(len(keys), int(heartbeat)), CHUNK_KEYS):
            part = keys[start : start + CHUNK_KEYS]
            self._dirty.difference_update(
                part
            )  # before it is written: what changes from now on is noted again
            await self._write(part, text if start + CHUNK_KEYS >= len(keys) else "keep")
        return position

    async def _write(self, keys: list[bytes], heartbeat: str) -> None:
        term, index = self._position()
        values, deadlines, offset_ms = (
            self._source.values(),
            self._source.deadlines(),
            self._source.offset_ms(),
        )
        *before, history = self._source.histories() or [""]
        arguments: list[Any] = [
            term,
            index,
            heartbeat,
            self._expected,
            history,
            "".join(f"{h}," for h in before),
        ]
        for key in keys:
            value = values.get(key)
            deadline = deadlines.get(key)
            arguments += (
                ("", "")
                if value is None
                else (value, "" if deadline is None else deadline + offset_ms)
            )
        fence = f"{history}:{term}:{index}" if history else f"{term}:{index}"
        self._attempt = Attempt(fence, self._expected, keys)
        answer = (await self._script(keys=[FENCE, HEARTBEAT, *keys], args=arguments)).decode()
        self._attempt = None
        if answer == "ok":
            self._expected = fence
            self.counts.keys += len(keys)
            self.written_s = time.monotonic()
            return
        expected = self._expected
        self.everything_changed()
        if answer.startswith(("stale", "foreign")):
            raise FencedOff(answer)
        raise LostFence(
            f"its fence is {answer.removeprefix('refill ')} instead of {expected}: all is "
            f"written again"
        )

    def _position(self) -> tuple[int, int]:
        position = self._source.position()
        if position is None:
            raise FencedOff("this node leads no more")
        return position
