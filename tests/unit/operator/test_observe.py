"""What is made of a pod as the API tells it."""

from __future__ import annotations

import datetime
from typing import Any

from countercluster_operator import names
from countercluster_operator.observe import SELECTED, _pod, _promised, _stateful_set
from countercluster_operator.observed import Pod

from tests.unit.operator.test_plan import cluster

NOW = datetime.datetime(2026, 1, 1, 12, 0, 0, tzinfo=datetime.UTC)
CONFLICT = "0/4 nodes are available: 1 node(s) were unschedulable, 3 node(s) didn't match PersistentVolume's node affinity."


def pod(conditions: list[dict[str, str]] | None = None, **meta: Any) -> Pod:
    body = {"metadata": {"name": "c-0", "labels": names.labels("c", names.NODE), **meta}, "status": {"conditions": conditions or []}}
    return _pod(cluster(), body, 0, None, NOW)


def test_a_pod_is_lost_from_when_it_should_have_ended() -> None:
    assert pod().lost_s == 0
    assert pod(deletionTimestamp="2026-01-01T12:00:20Z").lost_s == 0, "it still has its grace period"
    assert pod(deletionTimestamp="2026-01-01T11:59:00Z").lost_s == 60


def test_a_pod_is_lost_from_when_its_volume_was_out_of_reach() -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "lastTransitionTime": "2026-01-01T11:58:00Z"}
    assert pod([{**unscheduled, "message": CONFLICT}]).lost_s == 120
    assert pod([{**unscheduled, "message": "0/4 nodes are available: 4 Insufficient cpu."}]).lost_s == 0, "more room may come"


def test_a_pod_whose_volume_was_promised_on_a_machine_that_does_not_make_it_is_lost() -> None:
    """Found on kind: a machine died while a member was to start on it, and the scheduler waited for its volume for ten minutes."""
    claim: dict[str, Any] = {"metadata": {"name": "data-c-0", "annotations": {SELECTED: "a-machine"}}, "status": {"phase": "Pending"}}
    assert _promised(cluster(), [claim]) == {0}
    assert _promised(cluster(), [{**claim, "status": {"phase": "Bound"}}]) == set()
    body: dict[str, Any] = {"metadata": {"name": "c-0", "creationTimestamp": "2026-01-01T11:59:00Z"}, "spec": {}, "status": {"phase": "Pending"}}
    assert _pod(cluster(), body, 0, None, NOW, {0}).lost_s == 60
    assert _pod(cluster(), body, 0, None, NOW, {1}).lost_s == 0
    assert _pod(cluster(), {**body, "spec": {"nodeName": "a-machine"}}, 0, None, NOW, {0}).lost_s == 0


def test_a_pod_that_ends_is_lost_from_when_it_should_have_ended_wherever_its_volume_is() -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "lastTransitionTime": "2026-01-01T11:50:00Z", "message": CONFLICT}
    assert pod([unscheduled], deletionTimestamp="2026-01-01T11:59:30Z").lost_s == 30


def test_a_statefulset_rests_since_the_last_write_of_anybody() -> None:
    def idle(*times: str) -> float:
        claim = {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}
        meta = {"generation": 1, "managedFields": [{"time": t} for t in times]}
        found = _stateful_set({"metadata": meta, "spec": {"replicas": 3, "volumeClaimTemplates": [claim]}}, NOW)["set_idle_s"]
        assert isinstance(found, float)
        return found

    assert idle("2026-01-01T11:00:00Z", "2026-01-01T11:59:30Z") == 30
    assert idle("2026-01-01T12:00:01Z") == 0, "another clock"
    assert idle() == 0


def test_a_pod_without_our_labels_is_a_stray() -> None:
    assert not pod().stray
    assert pod(labels={"app.kubernetes.io/name": names.APP}).stray
    assert pod(labels=None).stray
