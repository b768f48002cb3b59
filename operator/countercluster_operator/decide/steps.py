"""The words of a plan, and the arithmetic of majorities that all its rules share. Pure."""

from __future__ import annotations

import dataclasses


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
