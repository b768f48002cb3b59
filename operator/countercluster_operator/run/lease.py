"""One active operator by a Lease of coordination.k8s.io. Whoever loses it does nothing until it has
it again: another operator may have taken it over, and must be the only one to act.

Another operator may take the Lease 15 s after it last saw a renewal. The holder trusts it for 10 s
only, counted from before it sent the renewal that succeeded: `check` is asked before every write,
so that a process that was stopped, swapped out or cut off does nothing when it comes back.

Readiness does not depend on holding it, or a rolling update of the operator would wait for ever.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from kubernetes.aio.client.exceptions import ApiException

from countercluster_operator.apply.events import timestamp
from countercluster_operator.world.api import UNREACHABLE, Kubernetes
from countercluster_operator.world.refusals import reason

log = logging.getLogger("countercluster_operator")

NAME = "countercluster-operator"
DURATION_S, TRUSTED_S, RENEW_S, RETRY_S = 15, 10.0, 3.0, 2.0


class NotLeading(Exception):
    """Somebody else may be the active operator by now: nothing must be written."""


class Lease:
    def __init__(
        self,
        api: Kubernetes,
        namespace: str,
        identity: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api, self._namespace, self._identity, self._clock = api, namespace, identity, clock
        self._seen: tuple[str, float] = (
            "",
            0.0,
            # renewTime of another holder, and when we saw it first (clocks of others are not
            # trusted)
        )
        self._until = -1.0  # how long the Lease can be trusted

    async def acquire(self) -> None:
        """Returns when this process is the active one."""
        while not await self._quietly_try():
            await asyncio.sleep(RETRY_S)
        log.info("leading", extra={"identity": self._identity})

    async def keep(self) -> None:
        """Returns when the lease is lost, at the latest when it cannot be trusted any more."""
        while (left_s := self._until - self._clock()) > 0:
            await asyncio.sleep(min(RENEW_S, left_s))
            try:
                async with asyncio.timeout(max(0.0, self._until - self._clock())):
                    if not await self._try():
                        break
            except UNREACHABLE as error:
                log.warning("lease not renewed: %s", reason(error))
        self._until = -1.0

    @property
    def held(self) -> bool:
        return self._clock() < self._until

    def check(self) -> None:
        """Raises NotLeading when the Lease is not held, or may not be any more."""
        if not self.held:
            raise NotLeading(f"the Lease {NAME} was last renewed more than {TRUSTED_S:.0f} s ago")

    async def release(self) -> None:
        """So that the next one need not wait."""
        if not self.held:
            return
        self._until = -1.0
        lease = await self._api.get("coordination.k8s.io/v1", "Lease", self._namespace, NAME)
        if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
            lease["spec"]["holderIdentity"] = ""
            await self._api.replace(lease)

    async def _quietly_try(self) -> bool:
        """An API server that does not answer is waited for."""
        try:
            return await self._try()
        except UNREACHABLE as error:
            log.warning("lease not acquired: %s", reason(error))
            return False

    async def _try(self) -> bool:
        start = self._clock()
        if await self._take():
            self._until = start + TRUSTED_S
            return True
        return False

    async def _take(self) -> bool:
        lease = await self._api.get("coordination.k8s.io/v1", "Lease", self._namespace, NAME)
        try:
            if lease is None:
                await self._api.create(self._manifest())
                return True
            if not self._free(lease["spec"]):
                return False
            taking_over = lease["spec"].get("holderIdentity") != self._identity
            lease["spec"].update(self._manifest()["spec"])
            if taking_over:
                lease["spec"]["leaseTransitions"] = lease["spec"].get("leaseTransitions", 0) + 1
            await self._api.replace(lease)
        except ApiException as error:
            if error.status == 409:
                return False  # somebody else was quicker
            raise
        return True

    def _free(self, spec: dict[str, Any]) -> bool:
        holder = spec.get("holderIdentity")
        if not holder or holder == self._identity:
            return True
        renewed = str(spec.get("renewTime"))
        if renewed != self._seen[0]:
            self._seen = (renewed, self._clock())
        return self._clock() - self._seen[1] > float(spec.get("leaseDurationSeconds", DURATION_S))

    def _manifest(self) -> dict[str, Any]:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": NAME, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": DURATION_S,
                "renewTime": timestamp(),
            },
        }
