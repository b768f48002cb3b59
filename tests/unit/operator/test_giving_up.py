"""How a lost member is given up: by UID, within the budget, and with its volume kept where it is to
be retained."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from countercluster_operator.apply.act import Act, NotNow
from countercluster_operator.apply.status import Status
from countercluster_operator.decide.healing import replace_disk
from countercluster_operator.decide.plan import plan
from countercluster_operator.decide.steps import DeletePod, Step
from countercluster_operator.model import Cluster, Storage
from countercluster_operator.world.machines import Loss
from countercluster_operator.world.observed import Claim, Observed
from kubernetes.aio.client.exceptions import ApiException

from tests.support.unit import reconcile_world
from tests.support.unit.reconcile_world import World
from tests.support.unit.situations import cluster, formed, kill, with_spec

nodes = reconcile_world.nodes

LOST = Loss(400.0, "its machine m is gone", "m")
Object = dict[str, Any]


def seen(**loss: Any) -> Observed:
    """c-2 is lost, and no member any more."""
    found = kill(formed(3, members=2), 2, terminating=True, loss=dataclasses.replace(LOST, **loss))
    pods = tuple(dataclasses.replace(p, uid=f"pod-{p.ordinal}") for p in found.pods)
    return dataclasses.replace(
        found,
        pods=pods,
        claims=tuple(Claim(o, uid=f"claim-{o}", volume=f"pv-{o}") for o in range(3)),
    )


class Api:
    def __init__(self, refuse: int = 0, bound_to: str = "claim-2") -> None:
        self.said: list[Object] = []
        self.refuse, self.bound_to = refuse, bound_to

    async def get(self, _version: str, _kind: str, _namespace: None, name: str) -> Object:
        meta = {"name": name, "resourceVersion": "7"}
        return {"metadata": meta, "spec": {"claimRef": {"uid": self.bound_to}}}

    async def overwrite(self, manifest: Object) -> None:
        if self.refuse:
            raise ApiException(status=self.refuse, reason="no")
        self.said.append(manifest)

    async def delete(
        self,
        _version: str,
        kind: str,
        _namespace: str,
        name: str,
        uid: str | None = None,
        **how: bool,
    ) -> None:
        self.said.append({"delete": kind, "name": name, "uid": uid, **how})


def replaced(of: Cluster) -> Step:
    return replace_disk(of, seen(), seen().pods[2], "")


def act(api: Api, of: Cluster, what: Step, refused: list[str] | None = None) -> list[Object]:
    asyncio.run(
        Act(api, of, seen(), {}, None, (refused if refused is not None else []).append).do(what)
    )  # type: ignore[arg-type]
    return api.said


def test_a_pod_and_a_claim_are_deleted_by_the_uid_that_was_decided_about() -> None:
    found = act(Api(), cluster(), replaced(cluster()))
    assert [(f["delete"], f["name"], f["uid"]) for f in found] == [
        ("PersistentVolumeClaim", "data-c-2", "claim-2"),
        ("Pod", "c-2", "pod-2"),
    ]
    assert found[1]["at_once"], "no kubelet will say that it has ended"
    again = DeletePod.of(seen().pods[1], "")
    assert act(Api(), cluster(), again)[0]["uid"] == "pod-1"


@pytest.mark.parametrize(
    "storage", [Storage(retain="Retain"), Storage(retain_on_scale_in="Retain")]
)
def test_a_retained_volume_stays_and_says_whose_it_was(storage: Storage) -> None:
    of = with_spec(storage=storage)
    found = act(Api(), of, replaced(of))
    kept = found[0]
    assert (kept["kind"], kept["metadata"]["name"]) == ("PersistentVolume", "pv-2")
    assert kept["spec"] == {"persistentVolumeReclaimPolicy": "Retain"}
    assert kept["metadata"]["resourceVersion"] == "7", "the very one that was read"
    assert kept["metadata"]["labels"]["countercluster.io/claim"] == "data-c-2"
    assert kept["metadata"]["labels"]["countercluster.io/namespace"] == "ns"
    assert [f["delete"] for f in found[1:]] == ["PersistentVolumeClaim", "Pod"]


def test_a_volume_of_somebody_else_is_not_touched_whatever_a_claim_names() -> None:
    of = with_spec(storage=Storage(retain="Retain"))
    found = act(Api(bound_to="a claim of another tenant"), of, replaced(of))
    assert [f["delete"] for f in found] == ["PersistentVolumeClaim", "Pod"]


def test_a_volume_that_cannot_be_kept_is_not_deleted_and_that_is_remembered() -> None:
    api, refused = Api(403), list[str]()
    of = with_spec(storage=Storage(retain="Retain"))
    with pytest.raises(NotNow, match="cannot be kept"):
        act(api, of, replaced(of), refused)
    assert api.said == []
    assert refused == ["keep"]
    without = dataclasses.replace(seen(), may_keep=False)
    assert "may not change PersistentVolumes" in plan(of, without).waiting
    step = plan(cluster(), without).step
    assert step is not None
    assert step.kind == "ReplaceDisk"


def test_a_member_that_the_leader_hears_is_not_lost() -> None:
    """Its kubelet is gone and it is not: also the operator may be the one that is cut off."""
    heard = kill(formed(), 2, loss=LOST)
    pods = tuple(
        p
        if p.status is None
        else dataclasses.replace(p, status=formed().pods[0].status)
        if p.ordinal == 0
        else p
        for p in heard.pods
    )
    assert plan(cluster(), dataclasses.replace(heard, pods=pods)).step is None


def test_one_cluster_after_the_other_gives_up_what_a_machine_took_and_says_who_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = (World(seen=kill(formed(), 2, loss=LOST)) for _ in range(2))
    second.reconciler._turns.losses = first.reconciler._turns.losses
    assert second.cluster is not None
    second.cluster["metadata"]["name"] = "d"
    monkeypatch.setattr(Status, "write", _noted)
    first.look(2)
    assert "event RemoveMember" in first.said
    assert _STATUS["replacing"] == {"pod": "c-2", "domain": "m"}
    monkeypatch.setattr(reconcile_world, "KEY", ("ns", "d"))
    second.look(2)
    assert "event RemoveMember" not in second.said
    assert "at most 1 at once in m" in _STATUS["step"]
    degraded = next(c for c in _STATUS["conditions"] if c["type"] == "Degraded")
    assert "c-2 (its machine m is gone)" in degraded["message"]


def test_a_cluster_that_is_paused_takes_nobodys_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives up no member, however long it stays so."""
    paused, other = (
        World({"paused": True}, kill(formed(), 2, loss=LOST)),
        World(seen=kill(formed(), 2, loss=LOST)),
    )
    other.reconciler._turns.losses = paused.reconciler._turns.losses
    assert other.cluster is not None
    other.cluster["metadata"]["name"] = "d"
    paused.look(2)
    assert "replacing" not in paused.status
    monkeypatch.setattr(reconcile_world, "KEY", ("ns", "d"))
    other.look(2)
    assert "event RemoveMember" in other.said


_STATUS: Object = {}


async def _noted(_self: Any, _body: Object, new: Object) -> None:
    _STATUS.clear()
    _STATUS.update(new)
