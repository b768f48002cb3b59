"""Healthy is who gets things done."""

from __future__ import annotations

import asyncio
import heapq
from typing import Any

import pytest
from countercluster_operator.run import health
from countercluster_operator.run.health import Health
from countercluster_operator.run.patience import Patience
from countercluster_operator.run.runtime import Runtime
from countercluster_operator.run.settings import load
from countercluster_operator.world.landscape import Silence
from prometheus_client import generate_latest


def _health(age_s: float = 0.0) -> Health:
    return Health(lambda: age_s, lambda: 3, lambda: {"get": 5, "apply": 2})


def _later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = health.time.monotonic()
    monkeypatch.setattr(health.time, "monotonic", lambda: now + seconds)


def test_a_key_that_waits_while_no_pass_ends_is_a_complaint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits, rests = _health(121.0), _health(0.0)
    _later(monkeypatch, health.STUCK_S + 1)
    assert "no pass has ended for 121 s" in waits.complaint()
    assert rests.complaint() == "", "there is nothing to do"
    waits.passed()
    assert "a key has waited for 121 s; at most 120 with 0" in waits.complaint()


def test_how_long_a_key_may_wait_follows_from_how_many_there_are() -> None:
    found = _health(1000.0)
    assert "at most 120 with 0 CounterClusters" in found.complaint()
    found.clusters = 1000
    assert found.complaint() == ""


def test_a_quiet_cluster_is_healthy_for_ever_and_one_that_is_out_of_reach_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """kopf lists only after an error: that nothing comes is how a quiet cluster is, and its
    operator was killed every 15 minutes."""
    found = _health()
    found.clusters = 2
    _later(monkeypatch, 1e6)
    found.answered()
    assert found.event_age_s() >= 1e6
    assert found.complaint() == ""
    _later(monkeypatch, health.UNREACHED_S + 1)
    assert "the API server has not answered for 601 s; at most 600" in found.complaint()


def test_a_thousand_clusters_with_a_silent_pod_each_do_not_hold_each_other_up() -> None:
    """By the clock of a calendar: 16 workers, a pass takes as long as its silent pod is waited for,
    and each looks again when it is time."""
    now, longest, first = 0.0, 0.0, 0.0
    silence, patience, seen, looks = Silence(lambda: now), Patience(), set(), 0
    queue = [(0.0, n) for n in range(1000)]  # since when it waits
    workers = [0.0] * load({"POD_NAMESPACE": "ns"}).workers
    while now < 1800:
        free = heapq.heappop(workers)
        since, key = heapq.heappop(queue)
        now = max(free, since)
        longest = max(longest, now - since)
        end = now + silence.patience_s(str(key))
        silence.note(str(key), answered=False)
        heapq.heappush(workers, end)
        heapq.heappush(queue, (end + patience.again_s(key, "no leader"), key))
        first = first if key in seen else end
        seen.add(key)
        looks += now > 900
    found = _health(longest)
    found.clusters = 1000
    assert found.complaint() == ""
    assert first < 90, "none is left alone when an operator begins"
    assert longest < 90, "once in ten looks a pod is given all its time"
    assert looks / 900 < 25, "looks in a second, for as long as the outage lasts"


def test_a_few_silent_pods_are_given_their_time_and_those_that_are_gone_count_no_more() -> None:
    now = 0.0
    silence = Silence(lambda: now)
    assert silence.patience_s("a") == 4.0
    for n in range(100):
        silence.note(f"p{n}", answered=False)
    assert silence.patience_s("a") == 1.0
    now = 601.0
    silence.note("p0", answered=False)
    assert silence.patience_s("a") == 4.0
    silence.note("p0", answered=True)


def test_who_waits_for_the_same_thing_is_observed_more_and_more_rarely() -> None:
    patience = Patience()
    assert [patience.again_s("c", "for c-0") for _ in range(20)] == [1.0] * 16 + [
        2.0,
        4.0,
        5.0,
        5.0,
    ]
    assert patience.again_s("c", "for c-1") == 1.0, "something else"
    patience.forget("c")
    for n in range(1000):
        patience.again_s(n, "no leader")
    assert [patience.again_s("c", "for c-1") for _ in range(30)][-1] == pytest.approx(50, abs=1)


def test_who_stands_by_is_healthy_however_long_the_queue() -> None:
    async def run() -> Any:
        runtime = Runtime(load({"POD_NAMESPACE": "ns"}))
        loop = asyncio.get_running_loop()
        runtime.queue.add(("ns", "c"))
        runtime.queue._queued[("ns", "c")] = loop.time() - 1000
        standing_by = runtime.health.complaint()
        runtime._workers = [loop.create_task(asyncio.sleep(0))]
        return standing_by, runtime.health.complaint()

    standing_by, leading = asyncio.run(run())
    assert standing_by == ""
    assert "a key has waited" in leading


def test_metrics_tell_of_the_queue_the_passes_and_the_calls() -> None:
    found = _health(7.5)
    found.reconciles.labels("ok").inc()
    found.seconds.observe(0.1)
    text = generate_latest(found.registry).decode()
    for line in (
        "countercluster_operator_queue_depth 3.0",
        "countercluster_operator_queue_oldest_seconds 7.5",
        'countercluster_operator_reconciles_total{result="ok"} 1.0',
        "countercluster_operator_reconcile_seconds_count 1.0",
        'countercluster_operator_api_calls_total{verb="apply"} 2.0',
        "countercluster_operator_last_event_seconds ",
        "countercluster_operator_leading 0.0",
    ):
        assert line in text
