"""A small world for the plan: machines, pods, disks, members, a leader and a StatefulSet
controller. What the operator sees of it is the JSON that the API server and the nodes would tell,
so that reading the world is tested as well as deciding."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import random
from typing import Any

from countercluster_operator import names
from countercluster_operator.apply.memory import essence, recalled
from countercluster_operator.decide.decision import Decision, decided
from countercluster_operator.decide.healing import keeps_volumes
from countercluster_operator.decide.plan import plan
from countercluster_operator.decide.quorum import quorum
from countercluster_operator.decide.restrictions import NODES, as_it_runs
from countercluster_operator.decide.steps import Step
from countercluster_operator.model import Cluster, Healing, Problem, decode
from countercluster_operator.world.machines import HOSTNAME, ZONE, Gone, Machines
from countercluster_operator.world.observe import Raw, read
from countercluster_operator.world.observed import Member, Observed, node_status

TICK_S = 100.0
FULL = (
    "0/7 nodes are available: 3 Insufficient cpu, 4 node(s) didn't match PersistentVolume's "
    "node affinity."
)
"""What the scheduler says of a pod whose machine is full. Nothing is lost."""


@dataclasses.dataclass
class Host:
    """A machine of Kubernetes. `silent`: its kubelet says nothing; `dark`: and what ran on it does
    not run."""

    name: str
    zone: str
    silent: bool = False
    dark: bool = False
    gone: bool = False  # from the API
    full: bool = False  # or cordoned, or tainted: nothing starts on it
    since: float = 0.0  # when its readiness changed

    @property
    def serves(self) -> bool:
        return not self.silent and not self.gone


@dataclasses.dataclass
class Disk:
    """A claim and its volume. `host`: where the volume is; empty while nothing was started on
    it."""

    node_id: str
    joined: bool = False  # was a member once
    host: str = ""
    uid: str = ""


@dataclasses.dataclass
class Machine:
    """A pod and the node in it."""

    ordinal: int
    revision: str
    starts_in: int = 2
    broken: bool = False  # its image does not start
    stray: bool = False  # its labels were taken off
    host: str = ""  # where it was placed; empty: nowhere yet
    dark: bool = False  # its machine is off
    ending: bool = False  # it should have ended, and no kubelet says so
    uid: str = ""

    @property
    def up(self) -> bool:
        return self.starts_in <= 0 and not self.broken and bool(self.host) and not self.dark


class Broken(AssertionError):
    pass


class World:
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
        self.term = 1
        self.set_replicas: int | None = None
        self.overlooked: set[int] = (
            set()
        )  # pods that the StatefulSet's controller makes only when it is made to look
        self.target: int | None = None
        self.bootstrap: tuple[str, str] | None = None
        self.recorded: tuple[Member, ...] = ()
        self.template = ""  # the revision that the StatefulSet has
        self.refused = (
            False  # the administrator allows no image of the spec: the StatefulSet is not applied
        )
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

    # --- what the plan sees -----------------------------------------------------------------------

    def cluster(self) -> Cluster:
        spec: dict[str, Any] = {
            "replicas": self.replicas,
            "image": self.spec_image,
            "storage": {"retainOnScaleIn": self.retain},
            "hibernated": self.hibernated,
            "maintenance": self.maintenance,
            "rollout": {"strategy": "Supervised" if self.supervised else "LeaderLast"},
        }
        if self.recovery:
            spec["recovery"] = {"survivor": self.recovery}
        meta = {
            "name": "c",
            "namespace": "ns",
            "uid": "uid",
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
            [_node(h, self._text(h.since)) for h in self.hosts.values() if not h.gone]
            if self.readable
            else None
        )
        return Raw(
            now=now,
            pods=[self._pod(p) for _, p in sorted(self.pods.items())],
            claims=[_claim(o, d) for o, d in sorted(self.disks.items())],
            stateful_set=self._stateful_set(),
            answers={f"c-{o}": node_status(self._answer(o)) for o, p in self.pods.items() if p.up},
            volumes={
                f"pv-{d.uid}": _volume(d, self.hosts[d.host]) for d in self.disks.values() if d.host
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
        labels = {**names.labels("c", names.NODE), "controller-revision-hash": pod.revision}
        if pod.stray:
            del labels[names.LABEL_INSTANCE]
        meta: dict[str, Any] = {
            "name": f"c-{pod.ordinal}",
            "uid": pod.uid,
            "labels": labels,
            "creationTimestamp": self._text(0),
        }
        if pod.ending:
            meta["deletionTimestamp"] = self._text(0)
        ready = pod.up and bool(self._answer(pod.ordinal)["ready"])
        conditions = [{"type": "Ready", "status": str(ready)}]
        if not pod.host:
            conditions.append(
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "message": FULL,
                    "lastTransitionTime": self._text(0),
                }
            )
        state = (
            {"running": {}}
            if pod.up or pod.dark
            else {"waiting": {"reason": "ImagePullBackOff" if pod.broken else "ContainerCreating"}}
        )
        status = {
            "conditions": conditions,
            "containerStatuses": [{"name": "node", "state": state}] if pod.host else [],
        }
        return {
            "metadata": meta,
            "spec": {"nodeName": pod.host} if pod.host else {},
            "status": status,
        }

    # --- one pass of the operator -----------------------------------------------------------------

    def operate(self, dies_at: str = "") -> Decision:
        """One pass. `dies_at`: the operator ends right before `status`, `claims` or `step`, and
        knows nothing afterwards but what it wrote."""
        seen = self.observe()
        todo = self._planned(seen)
        if not self.refused:
            if self.template != self.revision:  # what was observed is outdated
                todo = dataclasses.replace(todo, step=None, excess_claims=(), waiting="applied")
            self.set_replicas, self.template = todo.plan.replicas, self.revision
        if dies_at == "status":
            return todo
        self.target = todo.plan.target
        self.recovered = todo.plan.recovered
        self.used, self.chosen = self.cluster().image, self.cluster().chosen_image
        if seen.members:
            self.recorded = seen.members
        if todo.step is not None and todo.step.kind == "RecordBootstrap":
            self._act(todo.step)
        if dies_at == "claims":
            return todo
        for ordinal in (claim.ordinal for claim in todo.excess_claims):
            if any(o == ordinal for o, _ in self.members.values()):
                raise Broken(f"the claim of member c-{ordinal} is deleted")
            if self.retain == "Retain":
                raise Broken(f"the claim of c-{ordinal} is deleted, which was to be retained")
            self.disks.pop(ordinal, None)
        if todo.step is not None and todo.step.kind != "RecordBootstrap" and dies_at != "step":
            self._act(todo.step)
        return todo

    def _planned(self, seen: Observed) -> Decision:
        withheld = NODES if self.refused else ()
        cluster = as_it_runs(self.cluster(), seen, self.status(), withheld)
        problems = [Problem("NotAllowed", "not allowed")] if self.refused else []
        todo = decided(plan(cluster, seen), seen, withheld=withheld, problems=problems)
        takes = todo.step is not None and todo.step.kind in (
            "DeletePod",
            "ReplaceDisk",
            "RenewStatefulSet",
        )
        if self.refused and (todo.excess_claims or (self.set_replicas is None and takes)):
            raise Broken(f"what no StatefulSet brings back is deleted: {todo}")
        if (
            self.refused
            and todo.step is not None
            and todo.step.kind == "RemoveMember"
            and self.set_replicas
        ):
            if (names.ordinal("c", todo.step.pod) or 0) >= self.set_replicas:
                return todo
            disk = self.disks.get(names.ordinal("c", todo.step.pod) or 0)
            if (
                disk is not None
                and disk.node_id == todo.step.node_id
                and disk.host
                and self.hosts[disk.host].serves
            ):
                raise Broken(f"a size that is not applied costs a member: {todo.step.reason}")
        return todo

    def _act(self, step: Step) -> None:
        if step.kind == "TouchStatefulSet":
            self.overlooked.clear()
            return
        ordinal = int(step.pod.rpartition("-")[2])
        if step.kind == "RecordBootstrap":
            if self.bootstrap is not None:
                raise Broken("a second node is chosen to form the cluster")
            self.bootstrap = (step.pod, step.node_id)
        elif step.kind == "Bootstrap":
            self.bootstraps += 1
            if self.bootstraps > 1 or self.members:
                raise Broken("a cluster is formed twice")
            self.members = {step.node_id: (ordinal, True)}
            self.disks[ordinal].joined = True
            self.leader = step.node_id
        elif step.kind in ("AddLearner", "Promote", "RemoveMember"):
            self._change(step, ordinal)
        elif step.kind == "Transfer":
            others = sorted(self.active() - {self.leader or ""})
            if others:
                self.leader, self.term = self.random.choice(others), self.term + 1
        elif step.kind == "Recover":
            if (
                self.recovery != step.node_id
                or self.leader is not None
                or len(self.active()) >= quorum(len(self.voters()))
            ):
                raise Broken(f"a recovery that nobody asked for, or needs: {step.reason}")
            self.members = {step.node_id: (ordinal, True)}
            self.recoveries += 1
        elif step.kind == "DeletePod":
            self._delete(ordinal, step)
        elif step.kind == "ReplaceDisk":
            if self.disks[ordinal].node_id in self.members:
                raise Broken(f"the disk of member {step.pod} is thrown away")
            if keeps_volumes(self.cluster()) and self.disks[ordinal].host:
                if not self.may_keep:
                    raise Broken(f"the volume of {step.pod} is deleted, which was to be retained")
                self.released.append(self.disks[ordinal].node_id)
            self.disks.pop(ordinal, None)
            self.pods.pop(ordinal, None)

    def _change(self, step: Step, ordinal: int) -> None:
        """Committed only by a majority of the present voters."""
        voters = self.voters()
        if self.leader is None or len(self.active()) < quorum(len(voters)):
            return
        if step.kind == "AddLearner":
            self.members[step.node_id] = (ordinal, False)
            self.disks[ordinal].joined = True
        elif step.kind == "Promote":
            if (
                ordinal in self.pods
                and self.pods[ordinal].up
                and self.disks[ordinal].node_id == step.node_id
            ):
                self.members[step.node_id] = (ordinal, True)
        else:
            if step.node_id == self.leader:
                raise Broken("the leader is removed")
            disk = self.disks.get(ordinal)
            lost = (
                disk is None
                or disk.node_id != step.node_id
                or not disk.host
                or not self.hosts[disk.host].serves
            )
            if (
                disk is not None
                and disk.node_id == step.node_id
                and disk.host
                and ordinal < (self.target or 0)
            ):
                zone = [
                    h
                    for h in self.hosts.values()
                    if h.zone == self.hosts[disk.host].zone and not h.gone
                ]
                if (
                    not self.hosts[disk.host].gone
                    and 2 * sum(h.silent for h in zone) > len(zone) > 1
                ):
                    raise Broken(
                        f"{step.pod} is given up while its zone has an outage: {step.reason}"
                    )
                calm_s = self.time_s - self.outages.get(self.hosts[disk.host].zone, -1e9)
                if (
                    lost
                    and self.hosts[disk.host].silent
                    and not self.hosts[disk.host].gone
                    and calm_s < Healing().replace_lost_after_seconds
                ):
                    raise Broken(
                        f"{step.pod} is given up {calm_s:.0f} s after the outage of its zone: "
                        f"{step.reason}"
                    )
            if not lost and ordinal < (self.target or 0):
                raise Broken(
                    f"{step.pod} is given up, whose volume is on a machine that serves: "
                    f"{step.reason}"
                )
            del self.members[step.node_id]
            voters = self.voters()
            if len(self.active()) < quorum(len(voters)):
                raise Broken(f"removing {step.pod} costs the majority")

    def _delete(self, ordinal: int, step: Step) -> None:
        active, voters = self.active(), self.voters()
        if step.pod == self.maintenance:
            raise Broken(f"{step.pod} is in maintenance and is deleted: {step.reason}")
        node_id = self.disks[ordinal].node_id if ordinal in self.disks else ""
        if node_id in active and len(voters) > 1:
            if node_id == self.leader:
                raise Broken(f"{step.pod} is deleted while it leads: {step.reason}")
            # Two voters cannot be rolled without a gap, and without a leader nothing is served that
            # a restart could cost.
            if (
                len(active) - 1 < quorum(len(voters))
                and len(voters) > 2
                and self.leader is not None
            ):
                raise Broken(f"{step.pod} is deleted, which costs the majority: {step.reason}")
        self.restarted.append(step.pod)
        self.pods.pop(ordinal, None)

    # --- time -------------------------------------------------------------------------------------

    def tick(self) -> None:
        """The StatefulSet's controller, the scheduler, the kubelets, and Raft's elections."""
        self.time_s += TICK_S
        self._return_one()
        self._note_outages()
        for ordinal in range(self.set_replicas or 0):
            if ordinal not in self.pods and ordinal not in self.overlooked:
                self.pods[ordinal] = self.machine(ordinal, self.template)
                if ordinal not in self.disks:
                    self.disks[ordinal] = Disk(next(self._ids))
        for disk in self.disks.values():
            disk.uid = disk.uid or f"uid-{next(self._ids)}"
        self._kubelets()
        size = len(self.disks) + 1 if self.set_replicas is None else self.set_replicas
        for ordinal in [
            o
            for o, p in self.pods.items()
            if o >= size and not p.ending and not p.dark and not p.stray
        ]:
            del self.pods[ordinal]
        self._schedule()
        for pod in self.pods.values():
            pod.starts_in -= bool(pod.host)
        voters = self.voters()
        active = sorted(self.active())
        if self.leader not in active or len(active) < quorum(len(voters)):
            self.leader = None
            if voters and len(active) >= quorum(len(voters)):
                self.leader, self.term = self.random.choice(active), self.term + 1

    def machine(self, ordinal: int, revision: str, starts_in: int | None = None) -> Machine:
        """A new pod."""
        starts_in = self.random.randint(0, 2) if starts_in is None else starts_in
        return Machine(
            ordinal,
            revision,
            starts_in,
            revision in self.bad_revisions,
            uid=f"uid-{next(self._ids)}",
        )

    def _kubelets(self) -> None:
        """On a machine that is silent for long, pods should end, and on one that is gone from the
        API they are gone. The rest is as it is."""
        for ordinal, pod in list(self.pods.items()):
            host = self.hosts.get(pod.host)
            if host is None:
                continue
            if host.gone or (host.serves and pod.ending):
                del self.pods[ordinal]
            elif host.silent:
                pod.dark, pod.ending = (
                    pod.dark or host.dark,
                    pod.ending or self.time_s - host.since >= TICK_S,
                )
            elif pod.dark:
                pod.dark, pod.starts_in = False, 1

    def _schedule(self) -> None:
        free = [h.name for h in self.hosts.values() if h.serves and not h.full]
        for pod in self.pods.values():
            if pod.host or pod.ordinal not in self.disks:
                continue
            disk = self.disks[pod.ordinal]
            wanted = disk.host or (self.random.choice(free) if free else "")
            if wanted in free:
                pod.host = disk.host = wanted

    def lose(self, host: str, *, dark: bool = True, gone: bool = False) -> None:
        """A machine goes: its kubelet falls silent, or its Node is deleted as well."""
        found = self.hosts[host]
        found.silent, found.dark, found.gone, found.since = True, dark or gone, gone, self.time_s

    def _note_outages(self) -> None:
        """Of zones in which more than half of the machines that there are say nothing."""
        for zone in {h.zone for h in self.hosts.values()}:
            inside = [h for h in self.hosts.values() if h.zone == zone and not h.gone]
            if 2 * sum(h.silent for h in inside) > len(inside) > 1:
                self.outages[zone] = self.time_s

    def _return_one(self) -> None:
        """After an outage that lasted, the machines of a zone come back one after the other."""
        for zone in sorted(self.returning):
            silent = [h for h in self.hosts.values() if h.zone == zone and h.silent and not h.gone]
            if not silent:
                self.returning.discard(zone)
            elif self.random.random() < 0.2:
                host = self.random.choice(silent)
                host.silent = host.dark = False
                host.since = self.time_s

    def mend(self) -> None:
        """Every machine is there again; in the place of one that was taken away, a new one of
        another name."""
        for host in list(self.hosts.values()):
            if host.gone and f"{host.name}x" not in self.hosts:
                self.hosts[f"{host.name}x"] = Host(f"{host.name}x", host.zone)
            if not host.gone:
                host.silent = host.dark = host.full = False
                host.since = self.time_s
        self.readable = self.may_keep = True
        self.refused = False

    def _machine_fault(self) -> None:
        """Never so much that a majority's volumes are on machines that do not serve."""
        used = [self.hosts[d.host] for d in self.disks.values() if d.host]
        host = self.random.choice(used or list(self.hosts.values()))
        kind = self.random.random()
        if kind < 0.3:
            host.full = not host.full
        elif kind < 0.5:
            self.mend()
        elif kind < 0.6:
            self.readable, self.may_keep = self.random.random() < 0.5, self.random.random() < 0.5
        else:
            together = (
                [h for h in self.hosts.values() if h.zone == host.zone] if kind > 0.85 else [host]
            )
            lost = {h.name for h in together} | {
                h.name for h in self.hosts.values() if not h.serves
            }
            voters = self.voters()
            left = [i for i in self.active() if self.disks[self.members[i][0]].host not in lost]
            if len(left) >= quorum(len(voters)) and len(voters) > 2:
                dark, gone = self.random.random() < 0.8, kind < 0.7
                for each in together:
                    self.lose(each.name, dark=dark, gone=gone)
                if len(together) > 1:
                    self.returning.add(host.zone)

    def fault(self) -> None:
        """One thing goes wrong, or somebody edits the spec. Never so much that the majority's disks
        are gone."""
        kind = self.random.random()
        ordinal = self.random.choice(list(self.pods)) if self.pods else None
        if self.manifests and self.random.random() < 0.1:
            self.apply(self.random.choice(self.manifests))
            return
        self.manifests.append(self.manifest())
        if self.random.random() < 0.1:
            self.refused = True
        if kind < 0.15:
            self._machine_fault()
        elif kind < 0.35 and ordinal is not None:
            old = self.pods[ordinal]
            if not old.ending and not old.dark:
                self.pods[ordinal] = self.machine(ordinal, old.revision, self.random.randint(1, 4))
        elif kind < 0.45 and ordinal is not None:
            voters = self.voters()
            left = self.active() - {self.disks[ordinal].node_id}
            if len(left) >= quorum(len(voters)) and len(voters) > 2:
                self.disks[ordinal] = Disk(next(self._ids))
                self.pods.pop(ordinal)
        elif kind < 0.65:
            self.replicas = self.random.choice([1, 2, 3, 4, 5, 7])
        elif kind < 0.8:
            self.revision = f"r{self.random.randint(1, 10_000)}"
        elif kind < 0.85:
            self.revision = f"bad{self.random.randint(1, 10_000)}"
            self.bad_revisions.add(self.revision)
        elif kind < 0.87:
            self.hibernated = not self.hibernated
        elif kind < 0.9:
            self.maintenance = "" if self.maintenance else f"c-{self.random.randint(0, 4)}"
        elif kind < 0.92:
            self.supervised = not self.supervised
        elif kind < 0.93:
            self.retain = "Retain" if self.retain == "Delete" else "Delete"
        elif kind < 0.95 and ordinal is not None:
            self.pods[ordinal].stray = True
        else:
            self.set_replicas = None  # the StatefulSet is deleted, often its pods with it
            if self.random.random() < 0.6:
                self.pods.clear()
            self.overlooked = {self.random.randrange(3)}


# --- as the API tells it --------------------------------------------------------------------------


def _node(host: Host, since: str) -> dict[str, Any]:
    labels = {HOSTNAME: host.name, ZONE: host.zone}
    ready = {
        "type": "Ready",
        "status": "Unknown" if host.silent else "True",
        "lastTransitionTime": since,
    }
    taints = (
        [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}] if host.full else []
    )
    pressure = {"type": "DiskPressure", "status": "False", "lastTransitionTime": since}
    return {
        "metadata": {"name": host.name, "labels": labels},
        "spec": {"taints": taints},
        "status": {"conditions": [pressure, ready]},
    }


def _claim(ordinal: int, disk: Disk) -> dict[str, Any]:
    spec: dict[str, Any] = {"resources": {"requests": {"storage": "1Gi"}}}
    if disk.host:
        spec["volumeName"] = f"pv-{disk.uid}"
    meta = {"name": f"data-c-{ordinal}", "uid": disk.uid, "ownerReferences": [{"uid": "uid"}]}
    return {
        "metadata": meta,
        "spec": spec,
        "status": {"phase": "Bound" if disk.host else "Pending"},
    }


def _volume(disk: Disk, host: Host) -> dict[str, Any]:
    term = {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": [host.name]}]}
    affinity = {"required": {"nodeSelectorTerms": [term]}}
    return {
        "metadata": {"name": f"pv-{disk.uid}"},
        "spec": {"nodeAffinity": affinity, "persistentVolumeReclaimPolicy": "Delete"},
    }
