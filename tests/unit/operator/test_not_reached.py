"""A leader that runs and does not answer the operator in time: what is said of it."""

from __future__ import annotations

import dataclasses

from countercluster_operator.decide import report
from countercluster_operator.decide.decision import decided
from countercluster_operator.decide.plan import plan
from countercluster_operator.world.observed import NodeStatus

from tests.support.unit.situations import change, cluster, formed, node


def test_a_leader_that_does_not_answer_the_operator_is_no_lost_majority() -> None:
    """On a busy machine the status said that nobody leads, while increments were acknowledged."""
    silent = change(change(formed(), 0, status=None), 2, status=None)
    ready = NodeStatus(node(1), "follower", 3, node(0), 100, 100, ready=True)
    found = plan(cluster(), change(silent, 1, status=ready))
    assert found.warning is None
    assert found.waiting.startswith("c-0 leads in term 3, as members say that are ready; it did")
    for other in (
        change(silent, 1, status=dataclasses.replace(ready, ready=False)),
        change(silent, 1, status=dataclasses.replace(ready, leader_id="")),
        change(change(silent, 1, status=ready), 0, running=False),
    ):
        found = plan(cluster(), other)
        assert found.warning is not None
        assert found.warning[0] == "QuorumLost"


def test_the_conditions_say_that_it_is_not_known() -> None:
    ready = NodeStatus(node(1), "follower", 3, node(0), 100, 100, ready=True)
    seen = change(change(formed(), 0, status=None), 1, status=ready)
    found = report.status(cluster(), seen, decided(plan(cluster(), seen), seen), {}, "t")
    said = {c["type"]: (c["status"], c["reason"]) for c in found["conditions"]}
    assert said["QuorumHealthy"] == said["Available"] == ("Unknown", "NotReached")
    assert said["Degraded"][1] != "NoLeader"
