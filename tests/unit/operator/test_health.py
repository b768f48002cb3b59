"""Healthy is who gets things done."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from countercluster_operator import health
from countercluster_operator.health import Health
from countercluster_operator.runtime import Runtime
from countercluster_operator.settings import load
from prometheus_client import generate_latest


def _health(age_s: float = 0.0) -> Health:
    return Health(lambda: age_s, lambda: 3, lambda: {"get": 5, "apply": 2})


def test_a_key_that_waits_too_long_is_a_complaint() -> None:
    assert _health(119.0).complaint() == ""
    assert "a key has waited for 121 s; at most 120" in _health(121.0).complaint()


def test_silence_of_the_api_server_is_a_complaint_where_there_is_something_to_hear_of(monkeypatch: pytest.MonkeyPatch) -> None:
    found, now = _health(), health.time.monotonic()
    monkeypatch.setattr(health.time, "monotonic", lambda: now + health.DEAF_S + 1)
    assert found.complaint() == "", "without CounterClusters there are no events"
    found.clusters = 2
    assert "no event for 901 s from 2 CounterClusters" in found.complaint()
    found.event()
    assert found.complaint() == ""


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
