"""Events of the API group events.k8s.io/v1: one for each decision, not one for each pass. The same reason for the same cluster is not told again
for ten minutes."""

from __future__ import annotations

import datetime
import secrets
import time
from collections.abc import Callable

from kubernetes.aio.client.exceptions import ApiException

from countercluster_operator import names
from countercluster_operator.api import Kubernetes
from countercluster_operator.model import Cluster

QUIET_S = 600.0
MAX_REMEMBERED = 10_000


def timestamp() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Recorder:
    def __init__(self, api: Kubernetes, identity: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._api, self._identity, self._clock = api, identity, clock
        self._told: dict[tuple[str, str, str], float] = {}

    async def tell(self, cluster: Cluster, reason: str, action: str, note: str, *, warning: bool = False) -> bool:
        """False when it was told lately, or there is nobody to tell: the namespace is being deleted."""
        key = (cluster.uid, reason, note)
        now = self._clock()
        if now - self._told.get(key, -QUIET_S) < QUIET_S:
            return False
        if len(self._told) > MAX_REMEMBERED:
            self._told.clear()
        self._told[key] = now
        event = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{cluster.name}.{secrets.token_hex(8)}", "namespace": cluster.namespace},
            "eventTime": timestamp(),
            "reportingController": names.FIELD_MANAGER,
            "reportingInstance": self._identity,
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "action": action,
            "note": note[:1000],
            "regarding": {
                "apiVersion": names.API_VERSION,
                "kind": names.KIND,
                "name": cluster.name,
                "namespace": cluster.namespace,
                "uid": cluster.uid,
            },
        }
        try:
            await self._api.create(event)
        except ApiException as error:
            if error.status not in (403, 404):  # the namespace is being deleted
                raise
            return False
        return True
