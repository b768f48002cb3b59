"""Few clusters roll at once, and a roll that hangs keeps its place."""

from __future__ import annotations

from countercluster_operator.run.throttle import Throttle

from tests.support.unit.reconcile_world import KEY, World, nodes
from tests.support.unit.situations import formed, kill, outdated

__all__ = ["nodes"]


def test_no_more_than_there_are_places() -> None:
    throttle = Throttle(2)
    assert [throttle.admit(key) for key in "aabcb"] == [True, True, True, False, True]
    throttle.release("a")
    assert throttle.admit("c")
    throttle.occupy("d")
    throttle.release("c")
    assert not throttle.admit("e"), "what had begun already counts as well"


def test_a_cluster_waits_for_its_turn_and_says_so() -> None:
    world = World(seen=outdated(formed(), 0, 1, 2))
    throttle = world.reconciler._turns.rolls = Throttle(1)
    throttle.admit("another")
    world.look(2)
    assert not [said for said in world.said if said.startswith("delete")]
    assert "waiting until other clusters are rolled" in world.status["step"]
    throttle.release("another")
    world.look()
    assert "delete Pod c-2" in world.said
    assert not throttle.admit("another")
    world.seen = formed()
    world.look(2)
    assert throttle.admit("another"), "a cluster that is at rest has given its place back"


def test_what_does_not_run_is_replaced_without_waiting_and_a_roll_that_hangs_keeps_its_place() -> (
    None
):
    world = World(seen=kill(outdated(formed(), 0, 1, 2), 2))
    throttle = world.reconciler._turns.rolls = Throttle(1)
    throttle.admit("another")
    world.look(2)
    assert "delete Pod c-2" in world.said
    world.seen = kill(outdated(formed(), 0, 1), 2, trouble="ErrImagePull")
    world.look()
    throttle.release("another")
    assert not throttle.admit("another")
    assert KEY
