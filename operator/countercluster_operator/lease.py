"""One active operator by a Lease of coordination.k8s.io. Losing it ends the process: whoever took it over must be the only one to act.

Readiness does not depend on holding it, or a rolling update of the operator would wait for ever.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from kubernetes.aio.client.exceptions import ApiException

from countercluster_operator.api import Kubernetes
from countercluster_operator.events import timestamp

log = logging.getLogger("countercluster_operator")

NAME = "countercluster-operator"
DURATION_S, RENEW_S, RETRY_S = 15, 5.0, 2.0


class Lease:
    def __init__(self, api: Kubernetes, namespace: str, identity: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._api, self._namespace, self._identity, self._clock = api, namespace, identity, clock
        self._seen: tuple[str, float] = ("", 0.0)  # renewTime of another holder, and when we saw it first (clocks of others are not trusted)
        self.held = False

    async def acquire(self) -> None:
        """Returns when this process is the active one."""
        while not await self._try():
            await asyncio.sleep(RETRY_S)
        self.held = True
        log.info("leading", extra={"identity": self._identity})

    async def keep(self) -> None:
        """Returns when the lease is lost."""
        renewed = self._clock()
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                if not await self._try():
                    break
                renewed = self._clock()
            except (ApiException, OSError, TimeoutError) as error:
                log.warning("lease not renewed: %s", error)
                if self._clock() - renewed > DURATION_S - RENEW_S:
                    break
        self.held = False

    async def release(self) -> None:
        """So that the next one need not wait."""
        if not self.held:
            return
        self.held = False
        lease = await self._api.get("coordination.k8s.io/v1", "Lease", self._namespace, NAME)
        if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
            lease["spec"]["holderIdentity"] = ""
            await self._api.replace(lease)

    async def _try(self) -> bool:
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
            "spec": {"holderIdentity": self._identity, "leaseDurationSeconds": DURATION_S, "renewTime": timestamp()},
        }
