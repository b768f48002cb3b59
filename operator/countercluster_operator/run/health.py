"""The operator's HTTP port: `/healthz` from what it gets done, not from a port being open;
`/readyz`; `/metrics`.

Healthy is an operator that reaches the API server, by a cheap request of its own, and whose queue
moves. That nothing comes by the watches means nothing: kopf resumes a watch where it ended, and
in a quiet cluster nothing happens. How long a key may wait follows from how many there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

STUCK_S = 120.0
"""While keys wait, some pass must end in so long; and the first key of a short queue must have its
turn."""
EACH_S = 5.0
"""So much longer a key may wait for each CounterCluster that there is."""
PING_S = 30.0
UNREACHED_S = 600.0
"""The API server may be away for so long, for an upgrade, say: a restart would not bring it
back."""
RELIST_S = 300
"""How often the watches begin again."""


class _Calls(Collector):
    """Calls of the Kubernetes API, by verb; watches are not counted."""

    def __init__(self, calls: Callable[[], Mapping[str, int]]) -> None:
        self._calls = calls

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "countercluster_operator_api_calls",
            "Calls of the Kubernetes API, without watches",
            labels=["verb"],
        )
        for verb, count in sorted(self._calls().items()):
            family.add_metric([verb], count)
        yield family


class Health:
    def __init__(
        self,
        queue_age_s: Callable[[], float],
        queue_depth: Callable[[], int],
        calls: Callable[[], Mapping[str, int]],
    ) -> None:
        self.registry = CollectorRegistry()
        self.broken = ""
        self.clusters = 0  # that there are, as listed lately
        self._last_event = self._last_answer = self._last_pass = time.monotonic()
        self._queue_age_s = queue_age_s
        self.reconciles = Counter(
            "countercluster_operator_reconciles",
            "Passes by result",
            ["result"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "countercluster_operator_reconcile_seconds", "Time of a pass", registry=self.registry
        )
        Gauge(
            "countercluster_operator_queue_depth", "Keys that wait", registry=self.registry
        ).set_function(queue_depth)
        Gauge(
            "countercluster_operator_queue_oldest_seconds",
            "Age of the key that waits longest",
            registry=self.registry,
        ).set_function(queue_age_s)
        self.leading = Gauge(
            "countercluster_operator_leading", "1 on the active operator", registry=self.registry
        )
        self.registry.register(_Calls(calls))
        Gauge(
            "countercluster_operator_last_event_seconds",
            "Age of the last event",
            registry=self.registry,
        ).set_function(self.event_age_s)

    def event(self) -> None:
        """The API server sent something."""
        self._last_event = time.monotonic()

    def event_age_s(self) -> float:
        return time.monotonic() - self._last_event

    def answered(self) -> None:
        """The API server answered a request of our own."""
        self._last_answer = time.monotonic()

    def passed(self) -> None:
        """A pass has ended, well or not."""
        self._last_pass = time.monotonic()

    def complaint(self) -> str:
        """Empty when healthy."""
        if self.broken:
            return self.broken
        age_s = self._queue_age_s()
        still_s = time.monotonic() - self._last_pass
        if age_s > STUCK_S and still_s > STUCK_S:
            return (
                f"a key has waited for {age_s:.0f} s, and no pass has ended for {still_s:.0f} "
                f"s; at most {STUCK_S:.0f}"
            )
        allowed_s = STUCK_S + EACH_S * self.clusters
        if age_s > allowed_s:
            return (
                f"a key has waited for {age_s:.0f} s; at most {allowed_s:.0f} with "
                f"{self.clusters} CounterClusters"
            )
        away_s = time.monotonic() - self._last_answer
        if away_s > UNREACHED_S:
            return f"the API server has not answered for {away_s:.0f} s; at most {UNREACHED_S:.0f}"
        return ""

    async def serve(self, port: int) -> web.AppRunner:
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
            ]
        )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", port).start()
        return runner

    async def _healthz(self, _: web.Request) -> web.Response:
        complaint = self.complaint()
        return web.Response(status=503 if complaint else 200, text=(complaint or "ok") + "\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        return web.Response(text="ready\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self.registry), content_type="text/plain")
