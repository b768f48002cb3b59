"""A small world for the plan: pods, disks, members, a leader and a StatefulSet controller. Nothing but what plan() can see and its steps can
change."""

from __future__ import annotations

import dataclasses
import itertools
import random

from countercluster_operator.model import Cluster, Recovery, Rollout, Spec, Storage
from countercluster_operator.observed import Claim, Member, NodeStatus, Observed, Pod
from countercluster_operator.plan import Plan, Step, plan
from countercluster_operator.resources.disruption import quorum


@dataclasses.dataclass
class Disk:
    node_id: str
    joined: bool = False  # was a member once


@dataclasses.dataclass
class Machine:
    """A pod and the node in it."""

    ordinal: int
    revision: str
    starts_in: int = 2
    broken: bool = False  # its image does not start
    lost_for: int = 0  # ticks since its machine was lost; 0: it is not
    stray: bool = False  # its labels were taken off

    @property
    def up(self) -> bool:
        return self.starts_in <= 0 and not self.broken and not self.lost_for


class Broken(AssertionError):
    pass


class World:
    def __init__(self, seed: int, replicas: int) -> None:
        self.random = random.Random(seed)
        self.replicas = replicas
        self.revision = "r1"
        self.bad_revisions: set[str] = set()
        self.pods: dict[int, Machine] = {}
        self.disks: dict[int, Disk] = {}
        self.members: dict[str, tuple[int, bool]] = {}  # node id → (ordinal, votes)
        self.leader: str | None = None
        self.term = 1
        self.set_replicas: int | None = None
        self.overlooked: set[int] = set()  # pods that the StatefulSet's controller makes only when it is made to look
        self.target: int | None = None
        self.bootstrap: tuple[str, str] | None = None
        self.recorded: tuple[Member, ...] = ()
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

    # --- what the plan sees -------------------------------------------------------------------------------------------------

    def cluster(self) -> Cluster:
        spec = Spec(
            replicas=self.replicas,
            storage=Storage(retain_on_scale_in=self.retain),
            hibernated=self.hibernated,
            maintenance=self.maintenance,
            rollout=Rollout("Supervised" if self.supervised else "LeaderLast"),
            recovery=Recovery(self.recovery) if self.recovery else None,
        )
        return Cluster("c", "ns", "uid", 1, spec, "image", "redis", roll_leader=self.approved)

    def voters(self) -> list[str]:
        return [i for i, (_, votes) in self.members.items() if votes]

    def active(self) -> set[str]:
        """Voters whose pod runs with their disk."""
        return {i for i, (o, votes) in self.members.items() if votes and o in self.pods and self.pods[o].up and self.disks[o].node_id == i}

    def observe(self) -> Observed:
        members = tuple(Member(i, f"c-{o}", votes, 100, i in self.active()) for i, (o, votes) in sorted(self.members.items()))
        pods = []
        for ordinal, pod in sorted(self.pods.items()):
            status, ready = None, False
            if pod.up:
                disk = self.disks[ordinal]
                is_member = disk.node_id in self.members
                votes = is_member and self.members[disk.node_id][1]
                role = "leader" if disk.node_id == self.leader else "follower" if votes else "learner" if is_member else "waiting"
                if not is_member and disk.joined:
                    role = "removed"
                leads = role == "leader"
                ready = bool(votes and self.leader)
                status = NodeStatus(disk.node_id, role, self.term, self.leader or "", 100, 100, ready, "", members if leads else ())
            trouble = "ImagePullBackOff" if pod.broken else ""
            gone = bool(pod.lost_for)
            pods.append(Pod(f"c-{ordinal}", ordinal, ready, gone, pod.up, pod.revision, trouble, status, 100.0 * pod.lost_for, pod.stray))
        return Observed(
            pods=tuple(pods),
            set_replicas=self.set_replicas,
            set_current=self.set_replicas is not None,
            revision=self.revision if self.set_replicas is not None else "",
            claims=tuple(Claim(o) for o in sorted(self.disks)),
            target=self.target,
            bootstrap=self.bootstrap,
            recorded_members=tuple((m.name, m.node_id) for m in self.recorded),
            recorded_voters=tuple(m.node_id for m in self.recorded if m.voter),
            recovered=self.recovered,
            set_idle_s=1000.0 if self.overlooked else 0.0,
        )

    # --- one pass of the operator -------------------------------------------------------------------------------------------

    def operate(self, dies_at: str = "") -> Plan:
        """One pass. `dies_at`: the operator ends right before `status`, `claims` or `step`, and knows nothing afterwards but what it wrote."""
        seen = self.observe()
        todo = plan(self.cluster(), seen)
        self.set_replicas = todo.replicas
        if dies_at == "status":
            return todo
        self.target = todo.target
        self.recovered = todo.recovered
        if seen.members:
            self.recorded = seen.members
        if todo.step is not None and todo.step.kind == "RecordBootstrap":
            self._act(todo.step)
        if dies_at == "claims":
            return todo
        for ordinal in todo.excess_claims:
            if any(o == ordinal for o, _ in self.members.values()):
                raise Broken(f"the claim of member c-{ordinal} is deleted")
            self.disks.pop(ordinal, None)
        if todo.step is not None and todo.step.kind != "RecordBootstrap" and dies_at != "step":
            self._act(todo.step)
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
            if self.recovery != step.node_id or self.leader is not None or len(self.active()) >= quorum(len(self.voters())):
                raise Broken(f"a recovery that nobody asked for, or needs: {step.reason}")
            self.members = {step.node_id: (ordinal, True)}
            self.recoveries += 1
        elif step.kind == "DeletePod":
            self._delete(ordinal, step)
        elif step.kind == "ReplaceDisk":
            if self.disks[ordinal].node_id in self.members:
                raise Broken(f"the disk of member {step.pod} is thrown away")
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
            if ordinal in self.pods and self.pods[ordinal].up and self.disks[ordinal].node_id == step.node_id:
                self.members[step.node_id] = (ordinal, True)
        else:
            if step.node_id == self.leader:
                raise Broken("the leader is removed")
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
            # Two voters cannot be rolled without a gap, and without a leader nothing is served that a restart could cost.
            if len(active) - 1 < quorum(len(voters)) and len(voters) > 2 and self.leader is not None:
                raise Broken(f"{step.pod} is deleted, which costs the majority: {step.reason}")
        self.restarted.append(step.pod)
        self.pods.pop(ordinal, None)

    # --- time ---------------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """The StatefulSet's controller, the kubelet, and Raft's elections."""
        for ordinal in range(self.set_replicas or 0):
            if ordinal not in self.pods and ordinal not in self.overlooked:
                self.pods[ordinal] = Machine(ordinal, self.revision, self.random.randint(0, 2), self.revision in self.bad_revisions)
                self.disks.setdefault(ordinal, Disk(next(self._ids)))
        for ordinal in [o for o, p in self.pods.items() if o >= (self.set_replicas or 0) and not p.lost_for and not p.stray]:
            del self.pods[ordinal]
        for pod in self.pods.values():
            pod.starts_in -= 1
            pod.lost_for += bool(pod.lost_for)
        voters = self.voters()
        active = sorted(self.active())
        if self.leader not in active or len(active) < quorum(len(voters)):
            self.leader = None
            if voters and len(active) >= quorum(len(voters)):
                self.leader, self.term = self.random.choice(active), self.term + 1

    def fault(self) -> None:
        """One thing goes wrong, or somebody edits the spec. Never so much that the majority's disks are gone."""
        kind = self.random.random()
        ordinal = self.random.choice(list(self.pods)) if self.pods else None
        if kind < 0.35 and ordinal is not None:
            self.pods[ordinal] = Machine(ordinal, self.pods[ordinal].revision, self.random.randint(1, 4), self.pods[ordinal].broken)
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
        elif kind < 0.98 and ordinal is not None:
            left = self.active() - {self.disks[ordinal].node_id}
            if len(left) >= quorum(len(self.voters())) and len(self.voters()) > 2:
                self.pods[ordinal].lost_for = 1  # its machine is gone, and its disk with it
        else:
            self.set_replicas = None  # the StatefulSet is deleted, its pods with it
            self.pods.clear()
            self.overlooked = {self.random.randrange(3)}
