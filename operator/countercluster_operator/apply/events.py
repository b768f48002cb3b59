"""Events of the API group events.k8s.io/v1: one for each decision, not one for each pass. The same
reason for the same cluster is not reported again for ten minutes."""

from __future__ import annotations

import asyncio
import datetime
import logging
import secrets
import time
from collections.abc import Callable, Iterable

from kubernetes.aio.client.exceptions import ApiException

from countercluster_operator import names
from countercluster_operator.model import Cluster
from countercluster_operator.world.api import UNREACHABLE, Kubernetes, is_terminating
from countercluster_operator.world.refusals import reason

log = logging.getLogger("countercluster_operator")

QUIET_S = 600.0
EVENT_S = 3.0
"""A pass waits no longer for an event."""
AGAIN_S = 30.0
"""After an event that was not taken, no other is tried in its namespace for so long."""
MAX_REMEMBERED = 10_000


def timestamp() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Recorder:
    def __init__(
        self, api: Kubernetes, identity: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api, self._identity, self._clock = api, identity, clock
        self._reported: dict[tuple[str, str, str], float] = {}
        self._failing: dict[str, float] = {}  # namespaces that took no event lately, and when

    async def tell(
        self, cluster: Cluster, reason: str, action: str, note: str, *, warning: bool = False
    ) -> bool:
        """False when it was reported lately, or there is nobody to tell: the namespace is being
        deleted. Events are best effort: one that is not taken fails nothing, and is tried again
        later."""
        key = (cluster.uid, reason, note)
        now = self._clock()
        if now - self._reported.get(key, -QUIET_S) < QUIET_S:
            return False
        if len(self._reported) > MAX_REMEMBERED:
            self._reported.clear()
        self._reported[key] = now
        if now - self._failing.get(cluster.namespace, -AGAIN_S) < AGAIN_S:
            self._reported[key] = now - QUIET_S + AGAIN_S
            return True
        try:
            async with asyncio.timeout(EVENT_S):
                await self._api.create(self._event(cluster, reason, action, note, warning))
        except ApiException as error:
            if error.status == 404 or is_terminating(error):
                return False
            self._put_off(cluster, key, now, error)
        except UNREACHABLE as error:
            self._put_off(cluster, key, now, error)
        else:
            self._failing.pop(cluster.namespace, None)
        return True

    def _event(
        self, cluster: Cluster, reason: str, action: str, note: str, warning: bool
    ) -> dict[str, object]:
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "name": f"{cluster.name}.{secrets.token_hex(8)}",
                "namespace": cluster.namespace,
            },
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

    async def warn(self, cluster: Cluster, problems: Iterable[tuple[str, str]], run: str) -> None:
        """Reason and text of each, as an event and in the log."""
        for why, text in problems:
            if await self.tell(cluster, why, "Reconcile", text, warning=True):
                where = {"cluster": f"{cluster.namespace}/{cluster.name}", "run": run}
                log.warning("%s", text, extra=where)

    def _put_off(
        self, cluster: Cluster, key: tuple[str, str, str], now: float, error: BaseException
    ) -> None:
        self._failing[cluster.namespace] = now
        self._reported[key] = now - QUIET_S + AGAIN_S
        log.info(
            "event not written: %s",
            reason(error),
            extra={"cluster": f"{cluster.namespace}/{cluster.name}"},
        )
