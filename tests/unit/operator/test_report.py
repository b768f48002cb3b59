"""The status by the API conventions, and quiet at rest."""

from __future__ import annotations

import dataclasses
from typing import Any

from countercluster_operator.decide import report
from countercluster_operator.model import Problem

from tests.support.unit.plan_world import World
from tests.support.unit.settling import settle


def _status(world: World, old: dict[str, Any], now: str) -> dict[str, Any]:
    return report.status(world.cluster(), world.observe(), world.operate(), old, now)


def _condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in status["conditions"] if c["type"] == kind)
    return found


def test_at_rest_the_status_does_not_change_whatever_time_it_is() -> None:
    world = World(1, 3)
    settle(world)
    first = _status(world, {}, "2026-01-01T00:00:00Z")
    assert _status(world, first, "2027-01-01T00:00:00Z") == first


def test_the_time_of_a_transition_moves_with_the_status_of_its_condition_only() -> None:
    world = World(1, 3)
    settle(world)
    before = _status(world, {}, "t1")
    assert _condition(before, "Ready")["status"] == "True"
    del world.pods[2]
    after = _status(world, before, "t2")
    assert (
        _condition(after, "Ready")["status"],
        _condition(after, "Ready")["lastTransitionTime"],
    ) == ("False", "t2")
    assert _condition(after, "QuorumHealthy")["lastTransitionTime"] == "t1"
    assert _condition(after, "Degraded")["message"] == "not ready: c-2"


def test_every_known_condition_is_there_from_the_first_visit_with_a_reason() -> None:
    status = _status(World(1, 3), {}, "t")
    kinds = {c["type"] for c in status["conditions"]}
    assert kinds == {
        *("Ready", "QuorumHealthy", "Available", "Progressing", "Degraded", "CacheAvailable"),
        *("ValuesMayRepeat", "ClocksDisagree", "ReconcilePaused"),
    }
    assert all(c["reason"] for c in status["conditions"])
    assert _condition(status, "QuorumHealthy")["status"] == "Unknown"


def test_a_lost_quorum_is_said_in_words() -> None:
    world = World(1, 3)
    settle(world)
    world.pods, world.leader = {0: world.pods[0]}, None
    status = _status(world, {}, "t")
    assert _condition(status, "QuorumHealthy")["reason"] == "QuorumLost"
    assert _condition(status, "Degraded")["status"] == "True"


def test_an_invalid_spec_keeps_what_was_known() -> None:
    world = World(1, 3)
    settle(world)
    before = _status(world, {}, "t1")
    after = report.invalid(before, 2, "spec.replicas is 9; 1 to 7", "t2")
    assert _condition(after, "Ready")["reason"] == "InvalidSpec"
    assert after["members"] == before["members"]
    assert len(after["conditions"]) == len(before["conditions"])


def test_a_refused_child_is_said_although_all_members_serve() -> None:
    world = World(1, 3)
    settle(world)
    refused = dataclasses.replace(
        world.operate(),
        problems=(Problem("ChildRefused", "StatefulSet c: no such priority class"),),
    )
    status = report.status(world.cluster(), world.observe(), refused, {}, "t")
    assert (_condition(status, "Ready")["status"], _condition(status, "Ready")["reason"]) == (
        "False",
        "ChildRefused",
    )
    assert _condition(status, "Progressing")["status"] == "False"
    assert _condition(status, "Available")["status"] == "True"
    assert status["step"] == "StatefulSet c: no such priority class"


def test_a_hibernated_cluster_says_so_and_nothing_is_wrong_with_it() -> None:
    world = World(1, 3)
    settle(world)
    members = _status(world, {}, "t1")["members"]
    world.hibernated = True
    for _ in range(5):
        world.tick()
        world.operate()
    status = _status(world, {"members": members}, "t2")
    assert [
        (_condition(status, kind)["status"], _condition(status, kind)["reason"])
        for kind in ("Ready", "Progressing", "Degraded", "QuorumHealthy")
    ] == [
        ("False", "Hibernated"),
        ("False", "AtRest"),
        ("False", "AllMembersReady"),
        ("Unknown", "Hibernated"),
    ]
    assert status["members"] == members, "who they are is needed to wake them"


def test_a_lost_majority_and_a_roll_that_stopped_are_reasons_of_their_own() -> None:
    world = World(2, 3)
    settle(world)
    world.revision = "bad"
    world.bad_revisions.add("bad")
    for _ in range(20):
        world.tick()
        world.operate()
    stalled = _status(world, {}, "t1")
    assert (
        _condition(stalled, "Progressing")["reason"],
        _condition(stalled, "QuorumHealthy")["status"],
    ) == ("RollStalled", "True")
    for ordinal in [o for o, pod in world.pods.items() if pod.up]:
        world.pods[ordinal].starts_in = 99
    world.tick()
    lost = _status(world, {}, "t2")
    assert (
        _condition(lost, "QuorumHealthy")["reason"],
        _condition(lost, "Available")["status"],
    ) == ("QuorumLost", "False")
    assert "3 of 3 voters do not answer" in _condition(lost, "QuorumHealthy")["message"]


def test_the_cache_is_available_only_when_what_is_published_reaches_it() -> None:
    """Redis may be ready and take nothing: a certificate without the usage, another password."""
    world = World(1, 3)
    settle(world)

    def said(known: int, connected: int, error: str) -> tuple[str, str, str]:
        seen = dataclasses.replace(world.observe(), cache_ready=1)
        status = {"cache_known": known, "cache_connected": connected, "cache_error": error}
        pods = [
            dataclasses.replace(p, status=p.status and dataclasses.replace(p.status, **status))
            for p in seen.pods
        ]
        seen = dataclasses.replace(seen, pods=tuple(pods))
        found = _condition(
            report.status(world.cluster(), seen, world.operate(), {}, "t"), "CacheAvailable"
        )
        return found["status"], found["reason"], found["message"]

    assert said(1, 1, "")[:2] == ("True", "RedisReady")
    assert said(0, 0, "")[:2] == ("True", "RedisReady"), (
        "the leader has just begun, or tells nothing"
    )
    status, reason, message = said(2, 0, "10.0.0.3:6379: certificate verify failed")
    assert (status, reason) == ("False", "NotPublished")
    assert (
        "0 of 2 Redis pods take what the leader publishes: 10.0.0.3:6379: certificate verify failed"
        in message
    )
    assert said(2, 1, "10.0.0.3:6379: refused")[:2] == ("True", "PartlyPublished")


def test_a_roll_says_how_far_it_is_and_that_it_serves() -> None:
    world = World(3, 3)
    settle(world)
    world.revision = "r2"
    messages: list[str] = []
    degraded: list[str] = []
    old: dict[str, Any] = {}
    for _ in range(40):
        seen = world.observe()
        old = report.status(world.cluster(), seen, world.operate(), old, "t")
        messages.append(_condition(old, "Ready")["message"])
        degraded.append(_condition(old, "Degraded")["message"])
        world.tick()
    text = "\n".join(messages)
    for part in (1, 2, 3):
        assert f"serving, rolling {part} of 3: " in text
    assert "restarting in a roll: c-2" in degraded
    assert messages[-1] == "3 of 3 members serve"
