"""The order of the plan's rules is policy: each rule is reached, and where two of them answer, the
earlier one decides."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from countercluster_operator.decide import healing
from countercluster_operator.decide.plan import RULES, plan
from countercluster_operator.decide.steps import Plan, ReplaceDisk
from countercluster_operator.model import Cluster, Recovery, Storage
from countercluster_operator.world.machines import Loss
from countercluster_operator.world.observed import Claim, Observed

from tests.support.unit.situations import (
    change,
    cluster,
    formed,
    kill,
    outdated,
    waiting_pod,
    with_spec,
)

NAMES = [rule.__name__ for rule in RULES]
Situation = tuple[Cluster, Observed]


def headless(*gone: int, **more: Any) -> Observed:
    """Nobody leads."""
    seen = formed()
    for pod in seen.pods:
        assert pod.status is not None
        status = dataclasses.replace(pod.status, role="follower", leader_id="", ready=False)
        seen = change(seen, pod.ordinal, status=status, ready=False)
    for ordinal in gone:
        seen = change(seen, ordinal, status=None, running=False)
    return dataclasses.replace(seen, **more)


def empty(seen: Observed, ordinal: int) -> Observed:
    """The pod came back with an empty disk."""
    status = waiting_pod(ordinal).status
    assert status is not None
    return change(seen, ordinal, status=dataclasses.replace(status, node_id="new"), ready=False)


SMALL = tuple(Claim(o, size="1Gi") for o in range(3))
BIG = with_spec(storage=Storage(size="2Gi"))
SITUATIONS: dict[str, Situation] = {
    "_touch": (cluster(), dataclasses.replace(formed(), pods=formed().pods[:2], set_idle_s=99)),
    "replace_dead": (cluster(), outdated(kill(formed(), 2), 2)),
    "_form": (cluster(), Observed(tuple(waiting_pod(o) for o in range(3)), 3, True)),
    "recover": (with_spec(recovery=Recovery(survivor="id0")), headless(1, 2)),
    "_without_leader": (cluster(), headless(1, 2)),
    "heal": (cluster(), empty(formed(), 2)),
    "_maintain": (with_spec(maintenance="c-0"), formed()),
    "_arrive": (cluster(), formed(learners=(2,))),
    "_leave": (cluster(1), formed()),
    "_join": (cluster(4), formed(4, members=3)),
    "roll": (cluster(), outdated(formed(), 2)),
    "_grow": (BIG, dataclasses.replace(formed(), claims=SMALL)),
}
BOTH: dict[tuple[str, str], Situation] = {
    ("replace_dead", "_without_leader"): (cluster(), outdated(headless(1, 2), 1)),
    ("replace_dead", "heal"): (cluster(), outdated(kill(empty(formed(), 1), 2), 2)),
    ("recover", "_without_leader"): SITUATIONS["recover"],
    ("heal", "_arrive"): (cluster(4), empty(formed(4, learners=(3,)), 2)),
    ("heal", "_leave"): (cluster(2), empty(formed(), 1)),
    ("heal", "roll"): (cluster(), outdated(empty(formed(), 2), 1)),
    ("_maintain", "roll"): (with_spec(maintenance="c-0"), outdated(formed(), 1)),
    ("_arrive", "_join"): (cluster(5), formed(5, members=4, learners=(3,))),
    ("_arrive", "roll"): (cluster(), outdated(formed(learners=(2,)), 1)),
    ("_leave", "roll"): (cluster(1), outdated(formed(), 1)),
    ("_join", "roll"): (cluster(4), outdated(formed(4, members=3), 1)),
    ("roll", "_grow"): (BIG, outdated(dataclasses.replace(formed(), claims=SMALL), 2)),
}


def answers(wanted: Cluster, seen: Observed) -> list[str]:
    """The rules that would say something, in their order."""
    base: Plan = dataclasses.replace(plan(wanted, seen), step=None, waiting="")
    return [rule.__name__ for rule in RULES if rule(wanted, seen, base)]


def test_every_rule_has_a_situation() -> None:
    assert list(SITUATIONS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_rule_is_reached_and_decides(name: str) -> None:
    wanted, seen = SITUATIONS[name]
    assert answers(wanted, seen)[0] == name
    found = plan(wanted, seen)
    assert found.step is not None or found.waiting


@pytest.mark.parametrize("names", BOTH)
def test_where_two_answer_the_earlier_one_decides(names: tuple[str, str]) -> None:
    first, second = names
    assert NAMES.index(first) < NAMES.index(second)
    said = answers(*BOTH[names])
    assert said[0] == first
    assert second in said


LOST = Loss(9e9, "its machine is gone", "zone")


def test_each_rule_of_healing_is_reached_and_a_step_goes_before_a_reason_to_wait() -> None:
    stray = change(formed(), 2, stray=True)
    lost = change(kill(formed(), 2), 2, loss=LOST, running=True)
    removed = formed(4, members=3)
    status = removed.pods[3].status
    assert status is not None
    removed = change(removed, 3, status=dataclasses.replace(status, role="removed"))
    steps = {
        "lost its labels": (cluster(), stray),
        "lost its disk": (cluster(), empty(formed(), 2)),
        "is lost": (cluster(), lost),
        "holds the data of a removed member": (cluster(4), removed),
    }
    for words, (wanted, seen) in steps.items():
        step = plan(wanted, seen).step
        assert step is not None, words
        assert words in step.reason
    waits = empty(kill(removed, 1), 2)
    answered = healing.heal(cluster(4), waits, plan(cluster(4), waits))
    assert isinstance(answered, ReplaceDisk), "it waits for nothing"
    assert answered.pod == "c-3"
    alone = healing.heal(cluster(), empty(kill(formed(), 1), 2), plan(cluster(), formed()))
    assert isinstance(alone, str)
    assert "no majority without it" in alone
