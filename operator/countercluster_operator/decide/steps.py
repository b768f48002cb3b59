"""The words of a plan, and the arithmetic of majorities that all its rules share. Pure."""

from __future__ import annotations

import dataclasses

from countercluster_operator.resources.disruption import quorum
from countercluster_operator.world.observed import Observed


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. `reason` reaches the event and the status."""

    kind: str
    reason: str
    pod: str = ""
    node_id: str = ""
    # the failure domain in which a volume is given up as lost: may have to wait for its turn as
    # well
    gives_up: str = ""
    # restarts a healthy member for a newer template: may have to wait for its turn among the
    # clusters
    rolls: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """`replicas`: pods that the StatefulSet should have now. `waiting`: why there is no step
    although the work is not done."""

    replicas: int
    target: int
    voters: int
    step: Step | None = None
    waiting: str = ""
    excess_claims: tuple[int, ...] = ()
    # the survivor whose spec.recovery is done, or is void because a majority is there; it is never
    # done again
    recovered: str = ""
    rolling: bool = False  # some pods are of the newest template and some are not
    warning: tuple[str, str] | None = None  # reason and text of what somebody should look at
    replacing: tuple[str, str] | None = (
        # the member that was given up, and its failure domain, until the cluster is whole again
        None
    )
    refused_reason: str = "ChildRefused"
    # what of the spec cannot be done, or children that the API server does not take, and why;
    # filled in after they were applied
    refused: str = ""
    # children that were just written while all was at rest: whether it still is, the next look
    # tells; filled in as well
    applied: str = ""

    @property
    def settled(self) -> bool:
        return self.step is None and not self.waiting and not self.refused


Outcome = Step | str | None
"""What a rule answers: a step, a reason to wait, or nothing."""


def active_ids(seen: Observed) -> set[str]:
    """Ids of voters that take part now: the leader hears them, and their pod is ready under that
    id."""
    ready = {
        p.status.node_id
        for p in seen.pods
        if p.status is not None and p.ready and not p.terminating
    }
    leader = seen.leader
    leading = leader.status.node_id if leader is not None and leader.status is not None else ""
    return {
        m.node_id
        for m in seen.members
        if m.voter
        and (m.node_id in ready or m.node_id == leading)
        and (m.active or m.node_id == leading)
    }


def has_quorum_without(seen: Observed, node_id: str) -> bool:
    """The others can commit the removal of `node_id`, and go on after it."""
    voters = [m for m in seen.members if m.voter]
    others = active_ids(seen) - {node_id}
    left = [m for m in voters if m.node_id != node_id]
    return len(others) >= quorum(len(left)) and len(active_ids(seen)) >= quorum(len(voters))
