"""Machines and volumes, read from the API only while some member does not answer, and once for all clusters.

Both are cluster-wide. An operator for one namespace may not read them unless somebody lets it (manifests/machines.yaml): then nothing is known of
them, and no member is given up.
"""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable
from typing import Any

from kubernetes.aio.client.exceptions import ApiException

from countercluster_operator.api import UNREACHABLE, Kubernetes
from countercluster_operator.machines import Gone, Machines

FRESH_S = 10.0
"""How long a list of the machines is good. Members are given up after minutes."""
FULL_S, SHORT_S, OFTEN, MAX_SILENT = 4.0, 0.3, 3, 10_000
FORBIDDEN_S = 300.0
"""After this it is asked again what was forbidden."""


class Silence:
    """How long a pod is waited for: one that has been silent lately costs a pass little, so that many such pods do not hold up everybody. Every
    tenth time it is given all its time, as it may be slow and not dead."""

    def __init__(self) -> None:
        self._silent: dict[str, int] = {}  # by uid of the pod: how often in a row

    def patience_s(self, uid: str) -> float:
        count = self._silent.get(uid, 0)
        return FULL_S if count < OFTEN or count % 10 == 0 else SHORT_S

    def note(self, uid: str, *, answered: bool) -> None:
        if answered:
            self._silent.pop(uid, None)
            return
        if len(self._silent) > MAX_SILENT:
            self._silent.clear()
        self._silent[uid] = self._silent.get(uid, 0) + 1


class Landscape:
    def __init__(self, api: Kubernetes, clock: Callable[[], float] = time.monotonic) -> None:
        self._api, self._clock = api, clock
        self.silence = Silence()
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

    async def machines(self) -> Machines | None:
        """None while the API server does not answer, which says nothing of any machine."""
        async with self._reading:
            now = datetime.datetime.now(datetime.UTC)
            if self._machines is None or self._clock() - self._read >= FRESH_S:
                nodes = await self._ask("nodes", lambda: self._api.list("v1", "Node", None, {}))
                if nodes is None and self.may("nodes"):
                    return None
                self._machines = Machines(nodes, now, self._gone, self._zones)
                self._read = self._clock()
            return self._machines

    async def volume(self, name: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = await self._ask("volumes", lambda: self._api.get("v1", "PersistentVolume", None, name))
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
        """As it was when it was last looked at."""
        return self._machines is not None and self._machines.silent(domain)
