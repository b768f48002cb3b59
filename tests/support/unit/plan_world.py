"""A small world for the plan: machines, pods, disks, members, a leader and a StatefulSet
controller, and an operator that does one pass after the other. plan_state.py has what there is and
how it is shown, plan_machines.py the machines, and plan_faults.py what goes wrong."""

from __future__ import annotations

import dataclasses

from countercluster_operator import names
from countercluster_operator.decide.decision import Decision, decided
from countercluster_operator.decide.healing import keeps_volumes
from countercluster_operator.decide.plan import plan
from countercluster_operator.decide.quorum import quorum
from countercluster_operator.decide.restrictions import NODES, as_it_runs
from countercluster_operator.decide.steps import Step
from countercluster_operator.model import Healing, Problem
from countercluster_operator.resources import claims
from countercluster_operator.world.observed import Observed

from tests.support.unit.plan_machines import TICK_S, Hosts
from tests.support.unit.plan_parts import Broken, Disk


class World(Hosts):
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
            self.set_owner = self.uid
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
        self._take_over(seen, todo)
        for ordinal in (claim.ordinal for claim in todo.excess_claims):
            if any(o == ordinal for o, _ in self.members.values()):
                raise Broken(f"the claim of member c-{ordinal} is deleted")
            if self.retain == "Retain":
                raise Broken(f"the claim of c-{ordinal} is deleted, which was to be retained")
            self.disks.pop(ordinal, None)
        if todo.step is not None and todo.step.kind != "RecordBootstrap" and dies_at != "step":
            self._act(todo.step)
        return todo

    def _take_over(self, seen: Observed, todo: Decision) -> None:
        """Claims get the owner that spec.storage.retain gives them."""
        for manifest in claims.to_write(self.cluster(), seen, todo.excess_claims):
            ordinal = int(manifest["metadata"]["name"].rpartition("-")[2])
            if ordinal in self.disks:
                owners = manifest["metadata"]["ownerReferences"]
                self.disks[ordinal].owner = owners[0]["uid"] if owners else ""

    def orphan(self) -> None:
        """The CounterCluster is deleted, its children stay without owner, and it is applied
        again."""
        self.uid, self.set_owner = f"uid-{self.new_id()}", ""
        for disk in self.disks.values():
            disk.owner = ""

    def collect_garbage(self) -> None:
        """What belongs to a CounterCluster that is gone goes."""
        if self.set_owner not in ("", self.uid):
            raise Broken("the StatefulSet is collected with a CounterCluster that is gone")
        for ordinal, disk in self.disks.items():
            if disk.owner not in ("", self.uid):
                raise Broken(f"the claim of c-{ordinal} is collected, which was orphaned")

    def _planned(self, seen: Observed) -> Decision:
        withheld = NODES if self.refused else ()
        cluster = as_it_runs(self.cluster(), seen, self.status(), withheld)
        problems = [Problem("NotAllowed", "not allowed")] if self.refused else []
        todo = decided(plan(cluster, seen), seen, withheld=withheld, problems=problems)
        self._check_warning(todo)
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

    def _check_warning(self, todo: Decision) -> None:
        """A leader that is not heard from leads all the same, as those that are heard say."""
        at = self.members[self.leader][0] if self.leader in self.members else None
        disk = self.disks.get(at) if at is not None else None
        if disk is None or not disk.host or not self.hosts[disk.host].serves:
            return
        heard = {o for o, p in self.pods.items() if p.up and o not in self.unheard}
        follow = [i for i in self.active() if self.members[i][0] in heard]
        if todo.warning is not None and todo.warning[0] == "QuorumLost" and follow:
            raise Broken(f"{self.leader} leads and is followed, and it is said: {todo.warning}")

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
        if self.leader is None or len(self.active()) < quorum(len(self.voters())):
            return
        if step.kind == "AddLearner":
            self.members[step.node_id] = (ordinal, False)
            self.disks[ordinal].joined = True
        elif step.kind == "Promote":
            up = ordinal in self.pods and self.pods[ordinal].up
            if up and self.disks[ordinal].node_id == step.node_id:
                self.members[step.node_id] = (ordinal, True)
        else:
            self._judge_removal(step, ordinal)
            del self.members[step.node_id]
            if len(self.active()) < quorum(len(self.voters())):
                raise Broken(f"removing {step.pod} costs the majority")

    def _judge_removal(self, step: Step, ordinal: int) -> None:
        if step.node_id == self.leader:
            raise Broken("the leader is removed")
        if ordinal >= (self.target or 0):
            return
        disk = self.disks.get(ordinal)
        if disk is None or disk.node_id != step.node_id or not disk.host:
            return
        host = self.hosts[disk.host]
        if self._is_out(host.zone) and not host.gone:
            raise Broken(f"{step.pod} is given up while its zone has an outage: {step.reason}")
        calm_s = self.time_s - self.outages.get(host.zone, -1e9)
        patience_s = Healing().replace_lost_after_seconds
        if host.silent and not host.gone and calm_s < patience_s:
            raise Broken(
                f"{step.pod} is given up {calm_s:.0f} s after the outage of its zone: {step.reason}"
            )
        if host.serves:
            raise Broken(
                f"{step.pod} is given up, whose volume is on a machine that serves: {step.reason}"
            )

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
        self.collect_garbage()
        self.return_one()
        self.note_outages()
        for ordinal in range(self.set_replicas or 0):
            if ordinal not in self.pods and ordinal not in self.overlooked:
                self.pods[ordinal] = self.machine(ordinal, self.template)
                if ordinal not in self.disks:
                    self.disks[ordinal] = Disk(self.new_id())
        for disk in self.disks.values():
            disk.uid = disk.uid or f"uid-{self.new_id()}"
        self.kubelets()
        size = len(self.disks) + 1 if self.set_replicas is None else self.set_replicas
        for ordinal in [
            o
            for o, p in self.pods.items()
            if o >= size and not p.ending and not p.dark and not p.stray
        ]:
            del self.pods[ordinal]
        self.schedule()
        for pod in self.pods.values():
            pod.starts_in -= bool(pod.host)
        voters = self.voters()
        active = sorted(self.active())
        if self.leader not in active or len(active) < quorum(len(voters)):
            self.leader = None
            if voters and len(active) >= quorum(len(voters)):
                self.leader, self.term = self.random.choice(active), self.term + 1
