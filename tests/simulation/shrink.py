"""Makes a failing run small: fewer faults, fewer clients, less time, as long as the same thing goes
wrong. Then tells it as a story."""

from __future__ import annotations

import dataclasses
import time

from tests.simulation.faults import CALM_MS, Fault, draw
from tests.simulation.plan import Plan
from tests.simulation.scenario import run
from tests.simulation.world import World

LAST_LINES = 60
DISTURBANCES = ("fault", "leader", "down", "disk failed")


@dataclasses.dataclass(frozen=True)
class Failure:
    seed: int
    plan: Plan
    error: str
    at_ms: float

    @property
    def headline(self) -> str:
        """What went wrong, without names and numbers: the invariant."""
        return self.error.split(":", 1)[0]

    @property
    def faults(self) -> list[Fault]:
        return [
            f
            for f in draw(self.seed, self.plan)
            if self.plan.only is None or f.number in self.plan.only
        ]


def failure(seed: int, plan: Plan, story: list[str] | None = None) -> Failure | None:
    """None when the run is clean."""
    world = World(seed, plan.storage, plan.leases)
    world.story = story
    try:
        run(seed, plan, world)
    except Exception as error:
        return Failure(
            seed,
            plan,
            f"{error}" if isinstance(error, AssertionError) and str(error) else repr(error),
            world.now,
        )
    return None


def shrink(first: Failure, budget_s: float = 60) -> Failure:
    """The smallest failure with the same headline found within the time. Every step of it can be
    repeated."""
    end = time.monotonic() + budget_s
    best = dataclasses.replace(
        first,
        plan=dataclasses.replace(
            first.plan, only=tuple(f.number for f in first.faults if f.at_ms <= first.at_ms)
        ),
    )

    def tried(plan: Plan) -> bool:
        nonlocal best
        if time.monotonic() > end:
            return False
        found = failure(best.seed, plan)
        if found is None or found.headline != first.headline:
            return False
        best = found
        return True

    if not tried(best.plan):
        return first
    for clients in (1, 2, 3):
        if clients < best.plan.clients and tried(dataclasses.replace(best.plan, clients=clients)):
            break
    size = max(1, len(best.plan.only or ()) // 2)
    while size and time.monotonic() < end:
        at = 0
        while at < len(best.plan.only or ()):
            only = best.plan.only or ()
            if not tried(dataclasses.replace(best.plan, only=only[:at] + only[at + size :])):
                at += size
        size //= 2
    if best.at_ms < best.plan.duration_ms:
        tried(dataclasses.replace(best.plan, duration_ms=max(CALM_MS, int(best.at_ms) + 1)))
    return best


def described(found: Failure, name: str) -> str:
    """The failure with its faults, the end of its story, and how to see it again."""
    story: list[str] = []
    failure(found.seed, found.plan, story)
    marked = [line for line in story if line.split(" ms  ", 1)[1].startswith(DISTURBANCES)]
    tail = story[-LAST_LINES:]
    plan = found.plan
    only = "" if plan.only is None else f" --faults {','.join(map(str, plan.only)) or 'none'}"
    again = (
        f"python -m tests.simulation {found.seed}-{found.seed} --plan '{name}' --clients "
        f"{plan.clients} --until {plan.duration_ms}{only} --story"
    )
    return "\n".join(
        [
            f"seed {found.seed} ({name}): {found.error}",
            f"{len(found.faults)} faults, {plan.clients} clients, at {found.at_ms:.2f} ms",
            "--- faults, leaders and crashes",
            *[line for line in marked if line not in tail],
            "--- the end",
            *tail,
            f"--- again: {again}",
        ]
    )
