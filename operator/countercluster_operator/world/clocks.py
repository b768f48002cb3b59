"""The members' clocks as the operator sees them, and its own part in them: it tells every node what
the API server's clock says (RAFT.WITNESS). That clock has no vote in the cluster; it counts after a
full stop of one or two voters, which cannot tell by themselves whose clock is wrong.

A jump of log time is reported as an event, once: the status remembers how many there were. What
members' clocks say is a condition, in words that change only when something changes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from countercluster_operator import names
from countercluster_operator.model import Cluster
from countercluster_operator.world.api import UNREACHABLE, Kubernetes
from countercluster_operator.world.replies import Hostile, Refusal

NAME = "apiserver"
READ_EVERY_S = 30.0
TELL_S = 2.0
DAY_MS = 86_400_000
_UNITS = ((DAY_MS, "days"), (3_600_000, "hours"), (60_000, "minutes"), (1_000, "seconds"))

Condition = tuple[str, bool | None, str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class LogTime:
    """What the leader says of log time (`time` in RAFT.STATUS)."""

    jumps: int = 0
    jumped_ms: int = 0
    agreed: bool | None = None
    apart: tuple[str, ...] = ()  # node ids
    refused_jump_ms: int = 0
    runs_off: bool = False
    clocks: tuple[tuple[str, str, int], ...] = ()  # node id, name, offset in ms


def log_time(found: dict[str, Any] | None) -> LogTime | None:
    if not found:
        return None
    return LogTime(
        jumps=int(found["jumps"]),
        jumped_ms=int(found["jumpedMs"]),
        agreed=found["agreed"],
        apart=tuple(found["apart"]),
        refused_jump_ms=int(found["refusedJumpMs"]),
        runs_off=bool(found["runsOff"]),
        clocks=tuple((c["nodeId"], c["name"], int(c["offsetMs"])) for c in found["clocks"]),
    )


def about(ms: int) -> str:
    """A length in words, for what is reported once or is of days."""
    for unit, word in _UNITS:
        if abs(ms) >= unit:
            count = abs(ms) // unit
            return f"{count} {word if count > 1 else word[:-1]}"
    return "less than a second"


_ROUGHLY: tuple[tuple[int, str], ...] = (
    (1, "a second"), (10, "ten seconds"), (60, "a minute"), (600, "ten minutes"), (3_600,
    "an hour"), (36_000, "ten hours"),
    (86_400, "a day"), (864_000, "ten days"), (8_640_000, "100 days"), (31_536_000, "a year"),
    (315_360_000, "ten years"),
)  # fmt: skip


def roughly(ms: int) -> str:
    """A length in words that stay the same while a clock runs a little too fast: the nearest by
    factors, as round lengths are what clocks are off by, and must not lie on the edge between two
    words."""
    seconds = max(1.0, abs(ms) / 1_000)
    return min(_ROUGHLY, key=lambda step: max(step[0] / seconds, seconds / step[0]))[1]


def condition(cluster: Cluster, known: LogTime | None) -> Condition:
    kind = "ClocksDisagree"
    if known is None or known.agreed is None:
        return (kind, None, "NotKnown", "no leader says what the members' clocks say")
    if known.refused_jump_ms:
        most = cluster.spec.clock.max_jump_days
        text = (
            f"the members' clocks say that the cluster stood still for "
            f"{about(known.refused_jump_ms)}; spec.clock.maxJumpDays is {most}"
        )
        return (kind, True, "JumpTooLong", text)
    if known.apart:
        off = [
            f"{name} (about {roughly(ms)} {'ahead' if ms > 0 else 'behind'})"
            for node, name, ms in known.clocks
            if node in known.apart
        ]
        if not known.agreed:
            return (
                kind,
                True,
                "NoMajority",
                f"no majority of the members' wall clocks agrees: {', '.join(off)}",
            )
        return (
            kind,
            True,
            "StandsApart",
            f"not what a majority of the wall clocks says: {', '.join(off)}",
        )
    if known.runs_off:
        return (
            kind,
            True,
            "LeaderRunsOff",
            "the leader's running clock has another rate than those of a majority",
        )
    return (kind, False, "ClocksAgree", "")


def remembered(known: LogTime | None, old: dict[str, Any]) -> dict[str, int] | None:
    """For the status: no per-second data."""
    if known is None:
        found: dict[str, int] | None = old.get("clock")
        return found
    return {"jumps": known.jumps, "jumpedSeconds": known.jumped_ms // 1000}


def news(known: LogTime | None, old: dict[str, Any]) -> str:
    """Of a jump since the status was written; empty when there was none."""
    before = old.get("clock")
    if known is None or not before or known.jumps <= before.get("jumps", 0):
        return ""
    by_ms = known.jumped_ms - 1000 * before.get("jumpedSeconds", 0)
    return (
        f"after a full stop log time jumped by {about(by_ms)}, by what a majority of the "
        f"members' clocks says"
    )


class Reading(NamedTuple):
    utc_ms: float
    error_ms: float
    at_s: float  # time.monotonic


class Witness:
    def __init__(self, api: Kubernetes, admin: Callable[..., Awaitable[Any]]) -> None:
        """`admin`: sends a command to a node (observe.py)."""
        self._api, self._admin = api, admin
        self._reading: Reading | None = None

    async def tell(
        self, cluster: Cluster, addresses: Mapping[str, str], context: ssl.SSLContext | None
    ) -> None:
        """To these pods. Nodes of an older version do not know the command; who does not answer is
        asked about that elsewhere."""
        reading = await self._read()
        if reading is None or not addresses:
            return
        utc_ms = reading.utc_ms + (time.monotonic() - reading.at_s) * 1000
        most_ms = cluster.spec.clock.max_jump_days * DAY_MS
        command = (
            "RAFT.WITNESS",
            NAME,
            str(round(utc_ms)),
            str(round(reading.error_ms)),
            str(most_ms),
        )
        await asyncio.gather(
            *(self._tell_one(cluster, pod, ip, context, command) for pod, ip in addresses.items())
        )

    async def _tell_one(
        self,
        cluster: Cluster,
        pod: str,
        ip: str,
        context: ssl.SSLContext | None,
        command: tuple[str, ...],
    ) -> None:
        host = names.pod_host(cluster.name, cluster.namespace, pod)
        with contextlib.suppress(Refusal, Hostile, OSError, TimeoutError):
            await self._admin(ip, host, context, *command, timeout_s=TELL_S)

    async def _read(self) -> Reading | None:
        if self._reading is None or time.monotonic() - self._reading.at_s >= READ_EVERY_S:
            try:
                found = await self._api.clock()
            except UNREACHABLE:
                found = None
            self._reading = None if found is None else Reading(*found, time.monotonic())
        return self._reading
