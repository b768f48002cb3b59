"""Whose turn it is: what a cluster may do now, as other clusters are in the middle of the same.

A healthy member is restarted only while few other clusters do the same (throttle.py), and a member
is given up only while few others are (budget.py)."""

from __future__ import annotations

from collections.abc import Callable

from countercluster_operator.decide.decision import Turn
from countercluster_operator.decide.steps import Plan
from countercluster_operator.model import Cluster
from countercluster_operator.run.budget import Budget, Key
from countercluster_operator.run.throttle import Throttle
from countercluster_operator.world.observed import Observed

__all__ = ["Key", "Turns"]


class Turns:
    def __init__(self, rolls: Throttle, losses: Budget, silent: Callable[[str], bool]) -> None:
        """`silent`: of a zone without a ready machine."""
        self.rolls, self.losses, self._silent = rolls, losses, silent

    def forget(self, key: Key) -> None:
        self.rolls.release(key)
        self.losses.forget(key)

    def turn(self, cluster: Cluster, seen: Observed, plan: Plan) -> Turn:
        key = (cluster.namespace, cluster.name)
        turn = self._to_give_up(key, seen, plan, paused=cluster.spec.paused)
        if plan.settled or cluster.spec.paused or cluster.spec.hibernated:
            self.rolls.release(key)
        elif plan.rolling:
            self.rolls.occupy(key)
        elif (
            not turn.waiting
            and plan.step is not None
            and plan.step.rolls
            and not self.rolls.admit(key)
        ):
            text = "its template is outdated; waiting until other clusters are rolled: "
            return Turn(text + self.rolls.full(key), replacing=turn.replacing)
        return turn

    def _to_give_up(self, key: Key, seen: Observed, plan: Plan, *, paused: bool) -> Turn:
        """A cluster that is paused gives up no member, and takes nobody's place."""
        if seen.replacing is not None:
            self.losses.occupy(key, seen.replacing[1])
        if plan.settled:
            self.losses.release(key)
        step = plan.step
        if step is not None and step.gives_up and not paused:
            refusal = self.losses.refusal(key, step.gives_up, self._silent)
            if refusal:
                text = f"{step.pod} is lost, and is given up when it is its turn: {refusal}"
                return Turn(text, ("HealingHeld", text))
            return Turn(replacing=(step.pod, step.gives_up))
        return Turn(replacing=None if plan.settled else seen.replacing)
