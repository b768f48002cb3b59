"""The steps that a plan may have, one class each, and the plan itself. Pure.

A step says why it is done, and what must still be true when it is: the UID of the pod and of the
claim that were seen, or the id of the member. apply/act.py has one function for each, and mypy
refuses a step that has none."""

from __future__ import annotations

import dataclasses

from countercluster_operator.world.observed import Claim, Pod


@dataclasses.dataclass(frozen=True, slots=True)
class _Step:
    """`reason` reaches the event and the status."""

    reason: str
    pod: str = ""
    node_id: str = ""
    # the failure domain in which a volume is given up as lost: may have to wait for its turn
    gives_up: str = dataclasses.field(default="", kw_only=True)
    # the leader's term that it was decided in, where a pod or a claim goes by what that leader says
    # of the members; it is done only while the same leader leads in the same term. 0: without one
    term: int = dataclasses.field(default=0, kw_only=True)
    # restarts a healthy member for a newer template: may have to wait for its turn
    rolls: bool = dataclasses.field(default=False, kw_only=True)

    @property
    def kind(self) -> str:
        """The reason of its event."""
        return type(self).__name__


class RecordBootstrap(_Step):
    """Writes down which node forms the cluster; the status does it."""


class Bootstrap(_Step):
    """`node_id` forms the cluster, alone."""


class Promote(_Step):
    """The learner becomes a voter."""


class RemoveMember(_Step):
    """The member leaves, by its id."""


class Transfer(_Step):
    """The leader hands leadership to whoever is furthest."""


class Recover(_Step):
    """The survivor goes on alone."""


class TouchStatefulSet(_Step):
    """Its controller looks at it again."""


@dataclasses.dataclass(frozen=True, slots=True)
class RenewStatefulSet(_Step):
    """It goes, its pods stay, and it is made again around them."""

    uid: str = dataclasses.field(kw_only=True)


@dataclasses.dataclass(frozen=True, slots=True)
class DeletePod(_Step):
    """`at_once`: no kubelet will ever say that it has ended. Its member has left before, so that
    it cannot do harm."""

    uid: str = dataclasses.field(kw_only=True)
    at_once: bool = dataclasses.field(kw_only=True)

    @classmethod
    def of(cls, pod: Pod, reason: str, *, rolls: bool = False) -> DeletePod:
        overdue = pod.terminating and pod.loss.seconds > 0
        return cls(reason, pod.name, uid=pod.uid, at_once=overdue, rolls=rolls)


def without_labels(pod: Pod) -> DeletePod:
    return DeletePod.of(
        pod,
        f"{pod.name} lost its labels: nobody finds it, and nothing looks after it; it is made "
        f"again",
    )


@dataclasses.dataclass(frozen=True, slots=True)
class ReplaceDisk(_Step):
    """The claim goes, then the pod. `keeps`: the volume stays, under no claim."""

    claim: Claim | None = dataclasses.field(kw_only=True)
    then: DeletePod = dataclasses.field(kw_only=True)
    keeps: bool = dataclasses.field(kw_only=True)


@dataclasses.dataclass(frozen=True, slots=True)
class AddLearner(_Step):
    """`otherwise`: what is done instead when the leader says that the id is used up. One who left
    before it voted, or heard of it, does not know that; its disk holds nothing to lose."""

    otherwise: ReplaceDisk | None = dataclasses.field(kw_only=True)


Step = (
    RecordBootstrap
    | Bootstrap
    | AddLearner
    | Promote
    | RemoveMember
    | Transfer
    | Recover
    | DeletePod
    | ReplaceDisk
    | TouchStatefulSet
    | RenewStatefulSet
)
Once = RecordBootstrap | Bootstrap | Recover
"""Steps that are done once, ever: not before it is written down that they are."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """`replicas`: pods that the StatefulSet should have now. `waiting`: why there is no step
    although the work is not done. It is not edited after it was made: what a pass does of it is a
    Decision (decision.py)."""

    replicas: int
    target: int
    voters: int
    step: Step | None = None
    waiting: str = ""
    excess_claims: tuple[Claim, ...] = ()
    # the survivor whose spec.recovery is done, or is void because a majority is there; it is never
    # done again
    recovered: str = ""
    rolling: bool = False  # some pods are of the newest template and some are not
    warning: tuple[str, str] | None = None  # reason and text of what somebody should look at

    @property
    def settled(self) -> bool:
        return self.step is None and not self.waiting


Outcome = Step | str | None
"""What a rule answers: a step, a reason to wait, or nothing."""
