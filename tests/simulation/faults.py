"""What a fault is, and how the faults of a run are drawn. All of them are drawn beforehand, each
with randomness of its own, so that leaving some out changes no other: that is what the shrinker
needs. A kind that joins plan.py moves the numbers of all others, and with them what every seed
does."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable

from tests.simulation.node import Node
from tests.simulation.plan import Plan
from tests.simulation.world import World

CALM_MS = 2_000
"""At the beginning, for the cluster to form."""


@dataclasses.dataclass(frozen=True)
class Fault:
    number: int
    at_ms: float
    kind: str

    def __str__(self) -> str:
        return f"fault {self.number} at {self.at_ms:.0f} ms: {self.kind}"


def draw(seed: int, plan: Plan) -> list[Fault]:
    """The faults of a run, in order of time."""
    found: list[tuple[float, str]] = []
    for kind, mean_ms in plan.rates().items():
        chance = random.Random(f"{seed}/{kind}")
        at = float(CALM_MS)
        while mean_ms and (at := at + chance.expovariate(1 / mean_ms)) < plan.duration_ms:
            found.append((at, kind))
    return [Fault(number, at, kind) for number, (at, kind) in enumerate(sorted(found))]


class Faults:
    """Those of a run at their times. A kind of fault is a method of a class below; it returns what
    it did, for the trace."""

    def __init__(self, world: World, plan: Plan, faults: Iterable[Fault]) -> None:
        self.world, self.plan, self.active = world, plan, True
        self.random = random.Random()
        for fault in faults:
            world.at(fault.at_ms - world.now, lambda fault=fault: self._strike(fault))  # type: ignore[misc]

    def _strike(self, fault: Fault) -> None:
        if self.active:
            self.random.seed(f"{self.world.seed}/{fault.number}")
            action: Callable[[], object] = getattr(self, fault.kind)
            self.world.trace("fault", fault.number, fault.kind, action())

    def _some_node(self) -> Node | None:
        up = self.world.up_nodes()
        leader = self.world.leader()
        if leader is not None and self.random.random() < 0.5:
            return leader
        return self.random.choice(up) if up else None

    def _cut(self, cut: set[tuple[int, int]], for_ms: float) -> None:
        self.world.cut(cut, for_ms)
