"""The plugin knows every condition that the operator writes: a healthy cluster has no complaint."""

from __future__ import annotations

import dataclasses

from countercluster_operator.decide import report
from countercluster_operator.decide.decision import decided
from countercluster_operator.decide.plan import plan
from countercluster_operator.world.clocks import LogTime
from countercluster_operator.world.observed import History, Pod
from kubectl_counters.views import _complaints
from rich.console import Console

from tests.support.unit.situations import cluster, formed


def with_names(pod: Pod) -> Pod:
    assert pod.status is not None
    said = dataclasses.replace(
        pod.status, history=History("0" * 16, 1, "form"), log_time=LogTime(agreed=True)
    )
    return dataclasses.replace(pod, status=said)


def test_a_healthy_cluster_has_no_complaint() -> None:
    seen = dataclasses.replace(
        formed(), pods=tuple(with_names(p) for p in formed().pods), cache_ready=1
    )
    found = report.status(
        cluster(), seen, decided(plan(cluster(), seen), seen), {}, "2026-01-01T00:00:00Z"
    )
    console = Console(width=200)
    with console.capture() as shown:
        console.print(_complaints(found["conditions"]))
    assert shown.get().strip() == ""


def test_what_members_of_an_older_version_cannot_tell_is_no_complaint() -> None:
    """Below level 4 nobody knows a history or what the clocks say; an unknown quorum is another
    matter."""
    seen = dataclasses.replace(formed(), cache_ready=1)
    found = report.status(
        cluster(), seen, decided(plan(cluster(), seen), seen), {}, "2026-01-01T00:00:00Z"
    )["conditions"]
    unknown = {c["type"] for c in found if c["status"] == "Unknown"}
    assert unknown == {"ValuesMayRepeat", "ClocksDisagree"}
    console = Console(width=200)
    with console.capture() as shown:
        console.print(
            _complaints(
                [
                    *found,
                    {
                        "type": "QuorumHealthy",
                        "status": "Unknown",
                        "reason": "NotFormed",
                        "message": "not yet",
                    },
                ]
            )
        )
    assert shown.get().split() == ["QuorumHealthy", "is", "Unknown:", "NotFormed:", "not", "yet"]
