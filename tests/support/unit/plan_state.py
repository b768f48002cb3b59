"""The state of the small world of the plan (plan_world.py), and what the operator sees of it: the
JSON that the API server and the nodes would answer, so that reading is tested as well as
deciding."""

from __future__ import annotations

import datetime
import itertools
import random
from typing import Any

from countercluster_operator import names
from countercluster_operator.apply.memory import essence, recalled
from countercluster_operator.model import Cluster, decode
from countercluster_operator.world.machines import Gone, Machines
from countercluster_operator.world.observe import Raw, read
from countercluster_operator.world.observed import Member, Observed, node_status

from tests.support.unit.plan_parts import (
    Disk,
    Host,
    Machine,
    claim_json,
    node_json,
    pod_json,
    volume_json,
)


class State:
    """Everything that there is; plan_world.py lets it go on."""

    def __init__(self, seed: int, replicas: int) -> None:
        self.random = random.Random(seed)
        self.replicas = replicas
        self.spec_image = ""  # of the manifest; what the StatefulSet has is made from it
        self.used = ""  # recorded in status
        self.chosen = ""  # recorded in status
        self.manifests: list[dict[str, Any]] = []  # that were applied before
        self.bad_revisions: set[str] = set()
        self.pods: dict[int, Machine] = {}
        self.disks: dict[int, Disk] = {}
        self.members: dict[str, tuple[int, bool]] = {}  # node id → (ordinal, votes)
        self.leader: str | None = None
        self.unheard: set[int] = set()  # members whose answers do not come in time
        self.term = 1
        self.set_replicas: int | None = None
        self.overlooked = set[int]()  # pods that are made only when the controller is made to look
        self.target: int | None = None
        self.bootstrap: tuple[str, str] | None = None
        self.recorded: tuple[Member, ...] = ()
        self.template = ""  # the revision that the StatefulSet has
        self.refused = False  # no image of the spec is allowed: the StatefulSet is not applied
        self.hibernated = False
        self.maintenance = ""
        self.supervised = False
        self.approved = ""
        self.retain = "Delete"
        self.recovery: str | None = None
        self.recovered = ""
        self.bootstraps = 0
        self.recoveries = 0
        self.restarted: list[str] = []
        self._ids = (f"{n:016x}" for n in itertools.count(1))
        self.time_s = 0.0
        self.hosts = {f"m{n}": Host(f"m{n}", "abc"[n % 3]) for n in range(9)}
        self.gone: Gone = {}
        self.zones: dict[str, str] = {}
        self.outages: dict[str, float] = {}  # when a zone had one last
        self.returning: set[str] = set()  # zones whose machines come back one after the other
        self.readable = True  # the operator may read machines and volumes
        self.may_keep = True  # and change volumes
        self.released: list[
            str
        ] = []  # node ids of volumes that were kept when their member was replaced
        self.uid = "uid"  # of the CounterCluster
        self.set_owner = ""
        self.keep = "Delete"  # spec.storage.retain

    # --- what the plan sees -----------------------------------------------------------------------

    def cluster(self) -> Cluster:
        spec: dict[str, Any] = {
            "replicas": self.replicas,
            "image": self.spec_image,
            "storage": {"retain": self.keep, "retainOnScaleIn": self.retain},
            "hibernated": self.hibernated,
            "maintenance": self.maintenance,
            "rollout": {"strategy": "Supervised" if self.supervised else "LeaderLast"},
        }
        if self.recovery:
            spec["recovery"] = {"survivor": self.recovery}
        meta = {
            "name": "c",
            "namespace": "ns",
            "uid": self.uid,
            "generation": 1,
            "annotations": {names.ROLL_LEADER: self.approved},
        }
        return decode({"metadata": meta, "spec": spec, "status": self.status()}, "r1", "redis")

    @property
    def revision(self) -> str:
        """One image, one revision."""
        return self.cluster().image

    @revision.setter
    def revision(self, image: str) -> None:
        self.spec_image = image

    def manifest(self) -> dict[str, Any]:
        return {
            name: getattr(self, name)
            for name in (
                "replicas",
                "spec_image",
                "hibernated",
                "maintenance",
                "supervised",
                "retain",
                "keep",
            )
        }

    def apply(self, manifest: dict[str, Any]) -> None:
        for name, value in manifest.items():
            setattr(self, name, value)

    def voters(self) -> list[str]:
        return [i for i, (_, votes) in self.members.items() if votes]

    def active(self) -> set[str]:
        """Voters whose pod runs with their disk."""
        return {
            i
            for i, (o, votes) in self.members.items()
            if votes and o in self.pods and self.pods[o].up and self.disks[o].node_id == i
        }

    def observe(self) -> Observed:
        return read(self.cluster(), self.status(), self.raw())

    def status(self) -> dict[str, Any]:
        """Of the CounterCluster, as far as the operator reads it again."""
        members = [
            {"name": m.name, "nodeId": m.node_id, "role": "follower" if m.voter else "learner"}
            for m in self.recorded
        ]
        found: dict[str, Any] = {
            "members": members,
            "recovered": self.recovered,
            "target": self.target,
        }
        if self.used:
            found["image"] = self.used
        if self.chosen:
            found["chosen"] = {"image": self.chosen}
        if self.bootstrap is not None:
            found["bootstrap"] = {"pod": self.bootstrap[0], "nodeId": self.bootstrap[1]}
        return recalled({}, essence(found))  # the status is wiped all the time

    def forget(self) -> None:
        """Status and memory are lost: the CounterCluster was deleted, its volumes were retained,
        and it is applied again."""
        self.bootstrap, self.recorded, self.target, self.recovered = None, (), None, ""

    def raw(self) -> Raw:
        now = self._moment(self.time_s)
        nodes = (
            [node_json(h, self._text(h.since)) for h in self.hosts.values() if not h.gone]
            if self.readable
            else None
        )
        return Raw(
            now=now,
            pods=[self._pod(p) for _, p in sorted(self.pods.items())],
            claims=[claim_json(o, d) for o, d in sorted(self.disks.items())],
            stateful_set=self._stateful_set(),
            answers={
                f"c-{o}": node_status(self._answer(o))
                for o, p in self.pods.items()
                if p.up and o not in self.unheard
            },
            volumes={
                f"pv-{d.uid}": volume_json(d, self.hosts[d.host])
                for d in self.disks.values()
                if d.host
            }
            if self.readable
            else {},
            machines=Machines(nodes, now, self.gone, self.zones),
            may_keep=self.may_keep,
        )

    def _moment(self, seconds: float) -> datetime.datetime:
        return datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(
            seconds=seconds
        )

    def _text(self, seconds: float) -> str:
        return self._moment(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _stateful_set(self) -> dict[str, Any] | None:
        if self.set_replicas is None:
            return None
        idle_s = 1000.0 if self.overlooked else 0.0
        meta = {
            "uid": "set",
            "generation": 1,
            "managedFields": [{"time": self._text(self.time_s - idle_s)}],
        }
        claim = {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}
        status = {"observedGeneration": 1, "updateRevision": self.template}
        return {
            "metadata": meta,
            "spec": {"replicas": self.set_replicas, "volumeClaimTemplates": [claim]},
            "status": status,
        }

    def _answer(self, ordinal: int) -> dict[str, Any]:
        """To RAFT.STATUS."""
        disk, active = self.disks[ordinal], self.active()
        is_member = disk.node_id in self.members
        votes = is_member and self.members[disk.node_id][1]
        role = (
            "leader"
            if disk.node_id == self.leader
            else "follower"
            if votes
            else "learner"
            if is_member
            else "waiting"
        )
        if not is_member and disk.joined:
            role = "removed"
        members = [
            {"nodeId": i, "name": f"c-{o}", "voter": v, "matchIndex": 100, "active": i in active}
            for i, (o, v) in sorted(self.members.items())
            if disk.joined
        ]
        answer = {
            "nodeId": disk.node_id,
            "role": role,
            "term": self.term,
            "leaderId": self.leader or "",
            "members": members,
        }
        return {
            **answer,
            "commitIndex": 100,
            "lastIndex": 100,
            "ready": bool(votes and self.leader),
            "reason": "",
        }

    def _pod(self, pod: Machine) -> dict[str, Any]:
        ready = pod.up and bool(self._answer(pod.ordinal)["ready"])
        return pod_json(pod, self._text(0), ready=ready)

    def new_id(self) -> str:
        return next(self._ids)

    def machine(self, ordinal: int, revision: str, starts_in: int | None = None) -> Machine:
        """A new pod."""
        starts_in = self.random.randint(0, 2) if starts_in is None else starts_in
        return Machine(
            ordinal,
            revision,
            starts_in,
            revision in self.bad_revisions,
            uid=f"uid-{self.new_id()}",
        )
