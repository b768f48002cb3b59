"""A second writer that changes a child each time costs the members nothing: they are healed and
rolled, and the second writer is named."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
from countercluster_operator.apply import children
from countercluster_operator.apply.children import Children
from countercluster_operator.apply.contests import OFTEN, Contests
from countercluster_operator.decide.plan import plan

from tests.support.unit import reconcile_world
from tests.support.unit.fake_api import FakeApi
from tests.support.unit.reconcile_world import Object, World
from tests.support.unit.situations import cluster, formed, outdated

nodes = reconcile_world.nodes
PASS_S = 1.0


class Contested(World):
    """Somebody changes the Service after each apply."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.contests = True

    async def apply(self, manifest: Object, *, subresource: str = "") -> Object:
        after = await super().apply(manifest, subresource=subresource)
        if self.contests and (manifest["kind"], manifest["metadata"]["name"]) == ("Service", "c"):
            change(self)
        return after


def change(api: FakeApi) -> None:
    """As another program does it."""
    live = api.live["Service", "c"]
    count = int(live["metadata"]["generation"]) + 1
    live["metadata"] |= {
        "generation": count,
        "resourceVersion": str(count),
        "managedFields": [{"manager": "flux", "operation": "Update", "time": "2026"}],
    }
    api.wanted.pop(("Service", "c"))


def test_a_member_is_rolled_while_somebody_changes_a_child_with_each_pass() -> None:
    world = Contested()
    world.look(2)
    world.seen = outdated(formed(), 2)
    deleted = False
    for _ in range(OFTEN + 3):
        world.look()
        deleted = deleted or "delete Pod c-2" in world.said
    assert deleted
    assert world.ready()["reason"] == "ChildRefused"
    assert "Service c is changed or deleted by flux each time" in world.ready()["message"]


def test_a_pod_beyond_the_size_that_somebody_else_asks_for_holds_up_no_roll() -> None:
    seen = outdated(formed(4, members=3), 2)
    assert not seen.pods[3].ready
    step = plan(cluster(), seen).step
    assert step is not None
    assert (step.kind, step.pod) == ("DeletePod", "c-2")


def test_it_is_written_with_pauses_and_is_well_as_soon_as_nobody_changes_it() -> None:
    async def run() -> None:
        api, now, writes = FakeApi(), [0.0], 0
        kept = Children(api, lambda: now[0])  # type: ignore[arg-type]
        for _ in range(60):
            now[0] += PASS_S
            done = await kept.keep(cluster(), 3, 3)
            if "Service c" in done.written:
                writes += 1
                change(api)
        assert OFTEN < writes <= OFTEN + 5, "after 5, 10, 20 and 30 s"
        assert done.refused
        api.live["Service", "c"]["metadata"]["managedFields"] = []
        after = None
        for second in range(60):
            now[0] += PASS_S
            done = await kept.keep(cluster(), 3, 3)
            kept.watched("Service", copy.deepcopy(api.live["Service", "c"]), gone=False)
            if not done.refused:
                after = after or second
        assert after is not None
        assert not done.refused

    asyncio.run(run())


def test_other_wishes_and_writes_far_apart_are_no_contest() -> None:
    now = [0.0]
    contests = Contests(lambda: now[0])
    assert not any(contests.wrote("a", str(wish)) for wish in range(10))
    for _ in range(10):
        now[0] += 61
        assert not contests.wrote("a", "9")
    assert [contests.wrote("b", "same") for _ in range(OFTEN + 1)] == [*[False] * OFTEN, True]
    contests.forget(lambda key: key == "b")
    assert not contests.wrote("b", "same")


def test_what_is_deleted_each_time_is_contested_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "reach", lambda _: None)

    async def run() -> None:
        api, now = FakeApi(), [0.0]
        kept = Children(api, lambda: now[0])  # type: ignore[arg-type]
        refused: list[str] = []
        for _ in range(OFTEN + 2):
            now[0] += PASS_S
            refused = (await kept.keep(cluster(), 3, 3)).refused
            api.live.pop(("PodDisruptionBudget", "c"), None)
            api.wanted.pop(("PodDisruptionBudget", "c"), None)
        assert len(refused) == 1
        assert refused[0].startswith("PodDisruptionBudget c is changed or deleted by somebody")

    asyncio.run(run())
