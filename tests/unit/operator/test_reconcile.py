"""One pass: what is written, in which order, and when the next look is due. The API and the nodes
are in memory; tests/apiserver/ has real ones."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from countercluster_operator.apply import act
from countercluster_operator.run.lease import NotLeading
from countercluster_operator.run.reconcile import (
    AT_ONCE_S,
    AT_REST_S,
    REFUSED_S,
    SOON_S,
)
from countercluster_operator.world.api import Kubernetes
from countercluster_operator.world.replies import Refusal
from kubernetes.aio.client.exceptions import ApiException

from tests.support.unit.api_answers import Answer
from tests.support.unit.reconcile_world import Object, World
from tests.support.unit.reconcile_world import nodes as nodes  # a fixture
from tests.support.unit.situations import formed, kill, outdated


def test_at_rest_nothing_is_written_and_the_next_look_is_in_a_minute() -> None:
    world = World()
    assert world.look() == AT_ONCE_S, "children were made: what was observed is outdated"
    assert "apply StatefulSet" in world.said
    assert world.look(2) == AT_REST_S
    assert world.said == []
    assert world.ready()["status"] == "True"


def test_a_cluster_that_is_gone_or_going_is_forgotten() -> None:
    world = World()
    world.look(2)
    assert world.cluster is not None
    world.cluster["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert world.look() is None
    world.cluster = None
    assert world.look() is None
    assert world.said == []


def test_an_invalid_spec_is_reported_and_nothing_is_done_about_it() -> None:
    world = World({"replicas": 9})
    assert world.look() == AT_REST_S
    assert world.said == ["status"]
    assert (world.ready()["reason"], world.ready()["message"]) == (
        "InvalidSpec",
        "spec.replicas is 9; 1 to 7",
    )
    world.look()
    assert world.said == [], "reported once"


def test_a_paused_cluster_is_reported_and_left_alone() -> None:
    world = World({"paused": True}, outdated(formed(), 1))
    assert world.look() == AT_REST_S
    assert world.said == ["apply ConfigMap", "status"], "memory is part of the report"
    world.seen = kill(world.seen, 2)
    world.look()
    assert world.said == ["status"]


def test_the_status_is_written_before_the_step_and_the_event_after_it() -> None:
    world = World(seen=outdated(formed(), 2))
    world.look()
    assert world.look() == AT_ONCE_S
    assert world.said == ["status", "delete Pod c-2", "event DeletePod"]
    world.look()
    assert world.said == ["delete Pod c-2"], (
        "the same decision is reported once, and its status rests"
    )


def test_a_command_goes_to_the_leader_and_one_that_cannot_be_done_comes_back(
    nodes: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World({"replicas": 3}, formed(4, leader=1))
    world.look()
    world.look()
    assert nodes == [("RAFT.REMOVE", "id3")]

    async def refuse(*_: Any) -> None:
        raise TimeoutError

    monkeypatch.setattr(act, "admin", refuse)
    assert world.look() == SOON_S
    assert not [said for said in world.said if said.startswith("event")], (
        "what was not done is not reported as done"
    )


@pytest.mark.parametrize(
    ("now", "done"),
    [(None, True), (("leader", 4), False), (("follower", 3), False), (("follower", 4), False)],
)
def test_a_pod_is_restarted_only_while_the_leader_of_the_decision_leads_in_its_term(
    now: tuple[str, int] | None, done: bool
) -> None:
    """A pass may be long: children are applied and the status is written between look and act."""
    world = World()
    world.look(2)
    world.seen = outdated(formed(), 2)
    world.leads_now = now
    assert world.look() == (AT_ONCE_S if done else SOON_S)
    assert ("delete Pod c-2" in world.said) == done
    world.leads_now = None
    assert world.look() == AT_ONCE_S, "it is decided again"


def test_a_leader_that_answers_nonsense_or_nothing_restarts_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for answer in (b"", b"[]", b'{"role": 7, "term": 3}', b'{"role": "leader", "term": "3"}', 7):

        async def admin(*_: Any, answer: bytes | int = answer) -> bytes | int:
            return answer

        world = World()
        world.look(2)
        world.seen = outdated(formed(), 2)
        monkeypatch.setattr(act, "admin", admin)
        assert world.look() == SOON_S
        assert "delete Pod c-2" not in world.said


def test_what_does_not_run_is_replaced_without_a_leader() -> None:
    world = World()
    world.look(2)
    seen = outdated(kill(formed(leader=1), 1), 1)
    silent = tuple(dataclasses.replace(p, status=None) for p in seen.pods)
    world.seen = dataclasses.replace(seen, pods=silent)
    world.look()
    assert "delete Pod c-1" in world.said


@pytest.mark.parametrize("role", ["waiting", "learner"])
@pytest.mark.parametrize(
    ("answer", "replaced"),
    [
        ("REMOVED in words of any version", True),
        ("ERR node id id3 was removed and is never reused; start the node again", True),
        ("ERR it was removed in some other words", False),
        ("NOTREADY not now", False),
    ],
)
def test_a_learner_whose_id_is_used_up_starts_again(
    role: str, answer: str, replaced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was removed before it heard of anything, and an operator died before its claim was
    deleted."""
    seen = formed(4, members=3)
    pods = [
        dataclasses.replace(p, status=dataclasses.replace(p.status, role=role))
        if p.ordinal == 3 and p.status
        else p
        for p in seen.pods
    ]
    world = World({"replicas": 4}, dataclasses.replace(seen, pods=tuple(pods), target=4))

    async def refuse(*_: Any) -> None:
        raise Refusal(answer)

    monkeypatch.setattr(act, "admin", refuse)
    world.look(2)
    deleted = [said for said in world.said if said.startswith("delete")]
    wanted = ["delete PersistentVolumeClaim data-c-3", "delete Pod c-3"]
    assert deleted == (wanted if replaced else [])


def test_what_is_refused_is_reported_once_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    async def strict(manifest: Object, *, subresource: str = "") -> Object:
        if manifest["kind"] == "Service":
            raise ApiException(status=403, reason="Forbidden")
        return await World.apply(world, manifest, subresource=subresource)

    monkeypatch.setattr(world, "apply", strict)
    world.look()
    assert len([said for said in world.said if said == "event ChildRefused"]) == 4, (
        "one for each Service"
    )
    assert world.look() == REFUSED_S
    assert world.ready()["reason"] == "ChildRefused"
    assert "the API server refuses Service c: Forbidden" in world.ready()["message"]
    world.look()
    assert world.said == []


def test_the_pods_of_somebody_elses_stateful_set_are_not_touched() -> None:
    world = World(seen=outdated(formed(), 2))
    theirs = {
        "name": "c",
        "namespace": "ns",
        "uid": "theirs",
        "generation": 1,
        "resourceVersion": "1",
    }
    world.live["StatefulSet", "c"] = {"kind": "StatefulSet", "metadata": theirs, "spec": {}}
    world.look(3)
    assert not [said for said in world.said if said.startswith("delete")]
    assert world.ready()["reason"] == "ChildRefused"


def test_without_the_lease_no_command_goes_out(nodes: list[tuple[str, ...]]) -> None:
    world = World({"replicas": 3}, formed(4, leader=1))
    world.look()
    world.failing = NotLeading("not any more")
    with pytest.raises(NotLeading):
        world.look()
    assert nodes == []


class Dynamic:
    """In the place of the official client: whatever is called is noted."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.resources = self
        self.subresources = {"status": object()}

    async def get(self, *_: Any, **more: Any) -> Any:
        return self if "kind" in more else Answer.of({"items": []})

    def __getattr__(self, name: str) -> Any:
        async def call(*_: Any, **__: Any) -> Object:
            self.called.append(name)
            return {}

        return call


def test_every_write_asks_for_the_lease_right_before_it() -> None:
    def refuse() -> None:
        raise NotLeading("not any more")

    manifest = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "c", "namespace": "ns"}}

    async def run(dynamic: Dynamic, api: Kubernetes) -> int:
        writes = (
            lambda: api.apply(manifest),
            lambda: api.apply(manifest, subresource="status"),
            lambda: api.overwrite(manifest),
            lambda: api.create(manifest),
            lambda: api.replace(manifest),
            lambda: api.delete("v1", "Service", "ns", "c"),
        )
        refused = 0
        for write in writes:
            try:
                await write()
            except NotLeading:
                refused += 1
        await api.list("v1", "Service", "ns", {})
        return refused

    dynamic = Dynamic()
    free = Kubernetes(None, dynamic)  # type: ignore[arg-type]
    assert asyncio.run(run(dynamic, free.guarded(refuse))) == 6
    assert dynamic.called == []
    assert asyncio.run(run(dynamic, free)) == 0
    assert len(dynamic.called) == 6
    assert free.calls["apply"] == 4, "counted together"


class Watched(World):
    """Keeps every Ready that was ever to be seen, with the generation of the spec then."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.shown: list[tuple[str, int]] = []

    async def apply(self, manifest: Object, *, subresource: str = "") -> Object:
        found = await super().apply(manifest, subresource=subresource)
        if subresource:
            self.shown.append((self.ready()["status"], self.ready()["observedGeneration"]))
        return found

    def edit(self, **spec: Any) -> None:
        assert self.cluster is not None
        meta = {
            **self.cluster["metadata"],
            "generation": self.cluster["metadata"]["generation"] + 1,
        }
        self.cluster = {**self.cluster, "metadata": meta, "spec": {**self.cluster["spec"], **spec}}


@pytest.mark.parametrize(
    "kind",
    [
        "Secret",
        "Service",
        "StatefulSet",
        "PodDisruptionBudget",
        "NetworkPolicy",
        "ServiceAccount",
        "Deployment",
    ],
)
@pytest.mark.parametrize("touched", [False, True], ids=["deleted", "touched"])
def test_a_child_that_is_applied_again_is_no_reason_not_to_be_ready(
    kind: str, touched: bool
) -> None:
    world = Watched()
    world.look(3)
    world.shown.clear()
    for key in [key for key in world.live if key[0] == kind]:
        world.wanted.pop(key, None)
        if touched:
            world.live[key]["metadata"]["labels"] = {}
            world.live[key]["metadata"]["ownerReferences"] = [{"uid": "uid", "controller": True}]
        else:
            del world.live[key]
    world.look()
    assert f"apply {kind}" in world.said
    world.look(2)
    assert "False" not in [status for status, _ in world.shown]
    assert world.ready()["status"] == "True"


def test_a_spec_that_restarts_nothing_keeps_ready_but_not_before_it_is_known() -> None:
    world = Watched()
    world.look(3)
    world.shown.clear()
    world.edit(tls={"rotateAuthority": "now"})
    world.look()
    assert (
        world.ready()["status"],
        world.ready()["observedGeneration"],
        world.status["observedGeneration"],
    ) == ("True", 1, 1)
    world.look(2)
    assert (
        world.ready()["status"],
        world.ready()["observedGeneration"],
        world.status["observedGeneration"],
    ) == ("True", 2, 2)
    assert [status for status, _ in world.shown] == ["True"] * len(world.shown)


def test_ready_is_not_said_of_a_new_spec_before_the_stateful_set_has_seen_it() -> None:
    """It may be about to restart every pod."""
    world = Watched()
    world.look(3)
    world.edit(settings={"logLevel": "debug"})
    world.seen = dataclasses.replace(world.seen, set_current=False)
    assert world.look() == AT_ONCE_S
    assert world.look() == SOON_S
    assert (world.ready()["status"], world.ready()["observedGeneration"]) == ("True", 1)
    world.seen = outdated(dataclasses.replace(world.seen, set_current=True), 0, 1, 2)
    world.look()
    assert (world.ready()["status"], world.ready()["observedGeneration"]) == ("False", 2)


def test_a_member_that_is_lost_while_a_child_is_applied_is_reported_at_once() -> None:
    world = Watched()
    world.look(3)
    world.seen = kill(world.seen, 2)
    del world.live["Service", "c"]
    world.wanted.pop(("Service", "c"))
    world.look()
    assert world.ready()["status"] == "False"
