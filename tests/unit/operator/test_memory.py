"""The status is a cache: whoever wipes it takes nothing away that must be remembered."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pytest
from countercluster_operator.apply.memory import essence, recalled
from countercluster_operator.run import reconcile
from countercluster_operator.run.reconcile import Reconciler
from countercluster_operator.run.settings import load
from kubernetes.aio.client.exceptions import ApiException

from tests.support.unit import reconcile_world
from tests.support.unit.reconcile_world import World
from tests.support.unit.situations import formed, kill

nodes = reconcile_world.nodes


def again(world: World) -> None:
    world.reconciler = Reconciler(world, load({"POD_NAMESPACE": "system"}))  # type: ignore[arg-type]


async def observe(api: World, _cluster: Any, status: Any, *_: Any) -> Any:
    """As the real one, what it knows of before is from the status that it is given."""
    first = status.get("bootstrap")
    seen = dataclasses.replace(
        api.seen, bootstrap=(first["pod"], first["nodeId"]) if first else None
    )
    return dataclasses.replace(seen, target=status.get("target")), {
        p.name: "192.0.2.1" for p in seen.pods
    }


def test_a_wiped_status_comes_back_with_everything_that_was_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconcile, "observe", observe)
    world = World()
    world.look(2)
    before = world.status
    assert world.cluster is not None
    for restarted in (False, True):
        world.cluster = {k: v for k, v in world.cluster.items() if k != "status"}
        if restarted:
            again(world)
        world.seen = kill(kill(kill(formed(), 0), 1), 2)
        world.look(2)
        assert essence(world.status) == essence(before)
        assert [m["name"] for m in world.status["members"]] == ["c-0", "c-1", "c-2"]
        world.seen = formed()
        world.look(2)


def test_memory_is_written_when_it_changes_and_not_at_rest() -> None:
    world = World()
    world.look()
    assert "apply ConfigMap" in world.said
    world.look(2)
    assert world.said == []
    kept = json.loads(world.live["ConfigMap", "c-memory"]["data"]["memory.json"])
    assert kept["bootstrap"] == {"pod": "c-0", "nodeId": "id0"}
    world.seen = formed(leader=1)
    world.look()
    assert "apply ConfigMap" not in world.said, "who leads is no memory"


def test_memory_that_is_deleted_with_the_other_children_comes_back_with_them() -> None:
    world = World()
    world.look(2)
    for kind in ("Service", "ConfigMap"):
        for key in [k for k in world.live if k[0] == kind]:
            live = world.live.pop(key)
            world.wanted.pop(key, None)
            world.reconciler.watched(kind, live, gone=True)
    world.look(3)
    assert ("ConfigMap", "c-memory") in world.live
    assert ("Service", "c") in world.live


def test_memory_that_cannot_be_read_is_not_taken_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    read = world.get

    async def get(version: str, kind: str, namespace: str, name: str) -> Any:
        if kind == "ConfigMap":
            raise ApiException(status=503)
        return await read(version, kind, namespace, name)

    monkeypatch.setattr(world, "get", get)
    with pytest.raises(ApiException):
        asyncio.run(world.reconciler.reconcile(("ns", "c")))
    assert world.said == []


def test_a_config_map_of_a_stranger_or_without_sense_is_no_memory() -> None:
    world = World()
    meta = {
        "name": "c-memory",
        "namespace": "ns",
        "uid": "theirs",
        "generation": 1,
        "resourceVersion": "1",
    }
    world.live["ConfigMap", "c-memory"] = {
        "kind": "ConfigMap",
        "metadata": meta,
        "data": {"memory.json": '{"members": []}'},
    }
    world.look(2)
    assert "apply ConfigMap" not in world.said
    assert world.live["ConfigMap", "c-memory"]["metadata"]["uid"] == "theirs"
    assert world.ready()["status"] == "True"
    broken = World()
    broken.look(2)
    broken.live["ConfigMap", "c-memory"]["data"] = {"memory.json": "no json"}
    broken.wanted.clear()
    again(broken)
    broken.look(2)
    assert broken.status["bootstrap"]["nodeId"] == "id0"


def test_what_is_recalled_wins_over_a_status_that_somebody_wrote() -> None:
    kept = {
        "bootstrap": {"pod": "c-0", "nodeId": "a"},
        "members": [{"name": "c-0", "nodeId": "a", "role": "follower"}],
    }
    forged = {
        "bootstrap": {"pod": "c-1", "nodeId": "b"},
        "recovered": "x",
        "members": [],
        "conditions": [1],
    }
    found = recalled(forged, kept)
    assert found["bootstrap"] == kept["bootstrap"]
    assert "recovered" not in found
    assert found["members"] == [{"name": "c-0", "nodeId": "a", "role": "follower", "ready": False}]
    assert found["conditions"] == [1]
    shown = [{"name": "c-0", "nodeId": "a", "role": "leader", "ready": True}]
    assert recalled({"members": shown}, kept)["members"] == shown
    assert recalled(forged, None) == forged


def test_who_may_write_the_config_map_chooses_no_image() -> None:
    kept = {"chosen": {"image": "evil", "cacheImage": "evil"}, "members": []}
    chosen = {"image": "node:1", "cacheImage": "redis:1"}
    assert recalled({"chosen": chosen}, kept)["chosen"] == chosen
    assert recalled({}, {**kept, "chosen": chosen})["chosen"] == chosen, "a status that was lost"
