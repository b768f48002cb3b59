"""What the operator tries at one cluster, again and again: with longer pauses while it is refused.

What a step failed of last is in the next status (`unable`)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from kubernetes.aio.client.exceptions import ApiException

from countercluster_operator.apply.act import NotNow
from countercluster_operator.apply.events import Recorder
from countercluster_operator.model import Cluster, Problem
from countercluster_operator.run.patience import SOON_S
from countercluster_operator.run.turns import Key
from countercluster_operator.world.api import UNREACHABLE, is_terminating
from countercluster_operator.world.refusals import Refusals, reason, retry_after_s

log = logging.getLogger("countercluster_operator")

REFUSED_S = 10.0


class Attempts:
    def __init__(self, events: Recorder) -> None:
        self._events = events
        self.refusals = Refusals()
        self._unable: dict[Key, str] = {}  # what the last step of a cluster failed of

    def forget(self, key: Key) -> None:
        self._unable.pop(key, None)
        self.refusals.forget(lambda k: isinstance(k, tuple) and k[:2] == key)

    def unable(self, cluster: Cluster) -> list[Problem]:
        """What failed since this was asked last."""
        text = self._unable.pop((cluster.namespace, cluster.name), "")
        return [Problem("ChildRefused", text)] if text else []

    async def attempt(
        self, cluster: Cluster, what: str, work: Callable[[], Awaitable[None]], run: str
    ) -> float:
        """0 when it is done, else the seconds until it is tried again."""
        key = (cluster.namespace, cluster.name, what)
        if text := self.refusals.waiting(key, what):
            self._unable[cluster.namespace, cluster.name] = text
            return max(SOON_S, min(REFUSED_S, self.refusals.again_s(key)))
        try:
            await work()
        except NotNow as error:
            where = {"cluster": f"{cluster.namespace}/{cluster.name}", "run": run}
            log.info("not now: %s: %s", what, error, extra=where)
            return SOON_S
        except UNREACHABLE as error:
            if isinstance(error, ApiException) and is_terminating(error):
                raise
            text = await self.refused(cluster, what, error, run)
            self.refusals.add(key, what, text, retry_after_s(error))
            return max(SOON_S, retry_after_s(error), min(REFUSED_S, self.refusals.again_s(key)))
        self.refusals.drop(key)
        return 0.0

    async def refused(self, cluster: Cluster, what: str, error: BaseException, run: str) -> str:
        text = f"the API server refuses {what}: {reason(error)}"
        self._unable[cluster.namespace, cluster.name] = text  # the next status tells it
        await self._events.warn(cluster, [Problem("ChildRefused", text)], run)
        return text
