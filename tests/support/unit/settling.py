"""Passes over a world until it is at rest."""

from __future__ import annotations

from tests.support.unit.plan_world import World

PASSES = 400


def settle(world: World) -> int:
    """Passes until nothing is left to do."""
    world.unheard.clear()
    for count in range(PASSES):
        world.tick()
        world.approved = world.revision
        if world.operate().settled and all(p.up for p in world.pods.values()):
            return count
    raise AssertionError(f"not at rest after {PASSES} passes: {world.operate()}\n{world.observe()}")
