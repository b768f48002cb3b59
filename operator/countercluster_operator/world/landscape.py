"""Machines and volumes, read from the API only while some member does not answer, and once for all
clusters.

Both are cluster-wide. An operator for one namespace may not read them unless somebody lets it
(manifests/machines.yaml): then nothing is known of them, and no member is given up."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable
from typing import Any

from kubernetes.aio.client.exceptions import ApiException

from countercluster_operator.world.api import UNREACHABLE, Kubernetes
from countercluster_operator.world.belongings import Crowds
from countercluster_operator.world.machines import Gone, Machines

FRESH_S, NEWEST_S = 10.0, 1.0
"""How long a list of the machines is good; and for giving up what it says to be lost, as a machine
may have come back just now."""
FULL_S, SOME_S, SHORT_S, OFTEN, MAX_SILENT = 4.0, 1.0, 0.3, 3, 10_000
MANY = 16
"""When so many are silent, nobody is given all the time."""
FORGOTTEN_S = 600.0
FORBIDDEN_S = 300.0
"""After this it is asked again what was forbidden."""


class Silence:
    """How long a pod is waited for: one that has been silent lately costs a pass little, so that
    many such pods do not hold up everybody. Every tenth time it is given all its time, as it may be
    slow and not dead. Where many are silent, as in an outage, all its time is less."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._silent: dict[
            str, tuple[int, float]
        ] = {}  # by uid of the pod: how often in a row, and when last

    def patience_s(self, uid: str) -> float:
        count, _ = self._silent.get(uid, (0, 0.0))
        full_s = FULL_S if len(self._silent) < MANY else SOME_S
        return full_s if count < OFTEN or count % 10 == 0 else SHORT_S

    def note(self, uid: str, *, answered: bool) -> None:
        if answered:
            self._silent.pop(uid, None)
            return
        count, _ = self._silent.pop(uid, (0, 0.0))
        self._silent[uid] = (count + 1, self._clock())
        while (
            self._clock() - self._silent[oldest := next(iter(self._silent))][1] > FORGOTTEN_S
            or len(self._silent) > MAX_SILENT
        ):
            del self._silent[oldest]  # nobody has asked it for long: it is gone


class Landscape:
    def __init__(self, api: Kubernetes, clock: Callable[[], float] = time.monotonic) -> None:
        self._api, self._clock = api, clock
        self.silence, self.crowds = Silence(clock), Crowds(clock)
        self._machines: Machines | None = None
        self._read = -FRESH_S
        self._gone: Gone = {}
        self._zones: dict[str, str] = {}
        self._reading = asyncio.Lock()
        self._forbidden: dict[str, float] = {}  # what, and when it was

    def may(self, what: str) -> bool:
        """`what` was not forbidden lately."""
        return self._clock() - self._forbidden.get(what, -FORBIDDEN_S) >= FORBIDDEN_S

    def forbid(self, what: str) -> None:
        self._forbidden[what] = self._clock()

    async def machines(self, fresh_s: float = FRESH_S) -> Machines | None:
        """None while the API server does not answer, which says nothing of any machine. `fresh_s`:
        how old a list may be."""
        async with self._reading:
            now = datetime.datetime.now(datetime.UTC)
            if self._machines is None or self._clock() - self._read >= fresh_s:
                nodes = await self._ask("nodes", lambda: self._api.list("v1", "Node", None, {}))
                if nodes is None and self.may("nodes"):
                    return None
                self._machines = Machines(nodes, now, self._gone, self._zones)
                self._read = self._clock()
            return self._machines

    async def volume(self, name: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = await self._ask(
            "volumes", lambda: self._api.get("v1", "PersistentVolume", None, name)
        )
        return found

    async def _ask(self, what: str, ask: Callable[[], Any]) -> Any:
        """None for what cannot be read."""
        if not self.may(what):
            return None
        try:
            return await ask()
        except ApiException as error:
            if error.status == 403:
                self.forbid(what)
            return None
        except UNREACHABLE:
            return None

    def silent(self, domain: str) -> bool:
        """As it was when it was last read."""
        return self._machines is not None and self._machines.silent(domain)
