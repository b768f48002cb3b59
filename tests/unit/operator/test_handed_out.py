"""After a recovery somebody must know that values can repeat, until it is acknowledged."""

from __future__ import annotations

import msgspec
import pytest
from countercluster_operator.world import handed_out
from countercluster_operator.world.handed_out import Heights
from countercluster_operator.world.observed import History, NodeStatus, Observed, Pod, node_status

from tests.support.unit.situations import cluster

OLD, NEW = History("a" * 16, 1, "bootstrap"), History("b" * 16, 101, "recover")


def pod(ordinal: int, history: History | None, *, role: str = "follower", last: int = 100) -> Pod:
    status = NodeStatus(node_id=f"{ordinal:016x}", role=role, last_index=last, history=history)
    return Pod(f"c-{ordinal}", ordinal, status=status)


def said(*pods: Pod, acknowledged: str = "") -> tuple[bool | None, str]:
    found = handed_out.condition(
        msgspec.structs.replace(cluster(), acknowledged_history=acknowledged), Observed(pods=pods)
    )
    return found[1], found[2]


def test_it_is_true_from_a_recovery_until_that_history_is_acknowledged() -> None:
    assert said() == (None, "NotSeen")
    assert said(pod(0, None, role="leader")) == (None, "NotSeen")
    assert said(pod(0, OLD, role="leader")) == (False, "NothingGivenUp")
    assert said(pod(0, NEW, role="leader")) == (True, "Recovered")
    assert said(pod(0, NEW, role="leader"), acknowledged=OLD.id) == (True, "Recovered")
    assert said(pod(0, NEW, role="leader"), acknowledged=NEW.id) == (False, "Acknowledged")


def test_without_a_leader_a_recovered_member_is_believed_before_one_that_came_back() -> None:
    assert said(pod(0, NEW), pod(1, OLD, last=9_000)) == (True, "Recovered")


def test_what_is_known_to_be_lost_is_reported() -> None:
    heights = Heights()
    heights.noted(("ns", "c"), Observed(pods=(pod(0, OLD, last=140), pod(1, OLD, last=100))))
    seen = heights.noted(("ns", "c"), Observed(pods=(pod(1, OLD, last=100),)))
    assert "a member was seen 40 entries further, at 140" in handed_out.loss(seen, 100)
    heights.forget(("ns", "c"))
    assert "no member was seen further" in handed_out.loss(
        heights.noted(("ns", "c"), Observed(pods=(pod(1, OLD),))), 100
    )


@pytest.mark.parametrize("history", [None, "x", [], {}, {"id": "nonsense", "index": 1}, {"id": 5}])
def test_a_history_that_makes_no_sense_is_none(history: object) -> None:
    names = ("nodeId", "role", "leaderId", "reason")
    found = (
        dict.fromkeys(names, "")
        | dict.fromkeys(("term", "commitIndex", "lastIndex"), 0)
        | {"ready": True, "members": [], "history": history}
    )
    assert node_status(found).history is None
