"""What of a plan is done in this pass, and what is said of it. Pure.

A plan is about one cluster alone. What keeps its step from being done now comes from outside: other
clusters that are in the middle of the same (run/turns.py), what the administrator does not allow,
members that cannot be reached, children that belong to others or were just written. `decided` joins
them, in this order; each may only take something away."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from countercluster_operator.decide.steps import Plan, RenewStatefulSet, Step
from countercluster_operator.model import Problem
from countercluster_operator.world.observed import Claim, Observed

STATEFUL_SET = "StatefulSet"


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """What other clusters leave to this one. `waiting`: why its step is not done yet. `replacing`:
    the member that was given up, and its failure domain, until the cluster is whole again."""

    waiting: str = ""
    warning: tuple[str, str] | None = None
    replacing: tuple[str, str] | None = None


NOBODY_ELSE = Turn()


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """`applied`: children that were just written while all was at rest: whether it still is, the
    next look tells. `problems`: what of the spec cannot be done, or children that the API server
    does not take, and why."""

    plan: Plan
    step: Step | None
    waiting: str
    excess_claims: tuple[Claim, ...]
    warning: tuple[str, str] | None = None
    replacing: tuple[str, str] | None = None
    applied: str = ""
    problems: Sequence[Problem] = ()

    @property
    def settled(self) -> bool:
        return self.step is None and not self.waiting and not self.problems

    @property
    def refused(self) -> str:
        return "; ".join(problem.text for problem in self.problems)

    @property
    def refused_reason(self) -> str:
        return self.problems[0].reason if self.problems else ""


def claims_to_delete(plan: Plan, withheld: Collection[str]) -> tuple[Claim, ...]:
    """None while the StatefulSet is not applied: only a new one would bring them back."""
    return () if STATEFUL_SET in withheld else plan.excess_claims


def decided(
    plan: Plan,
    seen: Observed,
    turn: Turn = NOBODY_ELSE,
    *,
    withheld: Collection[str] = (),
    written: Sequence[str] = (),
    foreign: Collection[str] = (),
    held: Collection[str] = (),
    problems: Sequence[Problem] = (),
) -> Decision:
    """`withheld`: kinds of children that the administrator does not allow. `written`: names of the
    children that were just written. `foreign`: kinds of those that belong to others. `held`: kinds
    of workloads that were not applied for that."""
    step, waiting, warning = plan.step, plan.waiting, plan.warning
    going, applied = claims_to_delete(plan, withheld), ""
    if turn.waiting:
        step, waiting, warning = None, turn.waiting, warning or turn.warning
    if STATEFUL_SET in withheld and not _comes_back(step, seen):
        step = None
    if seen.blind:  # that nobody answers says nothing about the members
        step, waiting, warning = None, seen.blind, None
    if STATEFUL_SET in foreign:  # its pods and volumes are not ours to touch
        step, going = None, ()
    elif STATEFUL_SET in held:  # a pod that is made again would use what is not ours
        step = None
    if written:  # what was observed is outdated
        applied = f"applied {', '.join(written)}"
        if step is not None or waiting:
            step, waiting, applied = None, applied, ""
    return Decision(plan, step, waiting, going, warning, turn.replacing, applied, tuple(problems))


def _comes_back(step: Step | None, seen: Observed) -> bool:
    """What the step takes away is made again by the StatefulSet that there is."""
    return seen.set_replicas is not None and not isinstance(step, RenewStatefulSet)
