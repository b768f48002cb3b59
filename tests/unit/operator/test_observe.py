"""What is made of a pod as the API tells it."""

from __future__ import annotations

import datetime
from typing import Any

from countercluster_operator import names
from countercluster_operator.world.observe import _pod, _stateful_set
from countercluster_operator.world.observed import Pod

from tests.support.unit.situations import cluster

NOW = datetime.datetime(2026, 1, 1, 12, 0, 0, tzinfo=datetime.UTC)


def pod(conditions: list[dict[str, str]] | None = None, **meta: Any) -> Pod:
    meta = {"name": "c-0", "uid": "u", "labels": names.labels("c", names.NODE), **meta}
    return _pod(
        cluster(), {"metadata": meta, "status": {"conditions": conditions or []}}, 0, None, NOW
    )


def test_a_statefulset_rests_since_the_last_write_of_anybody() -> None:
    def idle(*times: str) -> float:
        claim = {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}
        meta = {"uid": "u", "generation": 1, "managedFields": [{"time": t} for t in times]}
        found = _stateful_set(
            {"metadata": meta, "spec": {"replicas": 3, "volumeClaimTemplates": [claim]}}, NOW
        )["set_idle_s"]
        assert isinstance(found, float)
        return found

    assert idle("2026-01-01T11:00:00Z", "2026-01-01T11:59:30Z") == 30
    assert idle("2026-01-01T12:00:01Z") == 0, "another clock"
    assert idle() == 0


def test_a_pod_without_our_labels_is_a_stray() -> None:
    assert not pod().stray
    assert pod(labels={"app.kubernetes.io/name": names.APP}).stray
    assert pod(labels=None).stray
