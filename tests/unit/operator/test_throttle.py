"""Few clusters roll at once, a roll that hangs keeps its place, and one tenant keeps nobody
waiting."""

from __future__ import annotations

from countercluster_operator.run.throttle import HOLD_S, Throttle

from tests.support.unit.reconcile_world import KEY, World, nodes
from tests.support.unit.situations import formed, kill, outdated

__all__ = ["nodes"]


ANOTHER = ("elsewhere", "another")


def test_no_more_than_there_are_places() -> None:
    throttle = Throttle(2)
    a, b, c, d, e = ((namespace, "c") for namespace in "abcde")
    assert [throttle.admit(key) for key in (a, a, b, c, b)] == [True, True, True, False, True]
    throttle.release(a)
    assert throttle.admit(c)
    throttle.occupy(d)
    throttle.release(c)
    assert not throttle.admit(e), "what had begun already counts as well"


def test_a_namespace_has_half_of_the_places_and_a_roll_that_hangs_holds_up_others_for_a_time() -> (
    None
):
    now = [0.0]
    throttle = Throttle(4, lambda: now[0])
    own = [throttle.admit(("tenant", f"c-{n}")) for n in range(10)]
    assert own == [True, True] + [False] * 8
    assert "2 of 2 places of one namespace" in throttle.full(("tenant", "c-9"))
    assert [throttle.admit((namespace, "c")) for namespace in "abc"] == [True, True, False]
    now[0] = HOLD_S
    assert throttle.admit(("c", "c")), "none of the four came to an end"
    assert not throttle.admit(("tenant", "c-9")), "its own namespace goes on waiting"


def test_a_cluster_waits_for_its_turn_and_says_so() -> None:
    world = World(seen=outdated(formed(), 0, 1, 2))
    throttle = world.reconciler._turns.rolls = Throttle(1)
    throttle.admit(ANOTHER)
    world.look(2)
    assert not [said for said in world.said if said.startswith("delete")]
    assert "waiting until other clusters are rolled" in world.status["step"]
    throttle.release(ANOTHER)
    world.look()
    assert "delete Pod c-2" in world.said
    assert not throttle.admit(ANOTHER)
    world.seen = formed()
    world.look(2)
    assert throttle.admit(ANOTHER), "a cluster that is at rest has given its place back"


def test_what_does_not_run_is_replaced_without_waiting_and_a_roll_that_hangs_keeps_its_place() -> (
    None
):
    world = World(seen=kill(outdated(formed(), 0, 1, 2), 2))
    throttle = world.reconciler._turns.rolls = Throttle(1)
    throttle.admit(ANOTHER)
    world.look(2)
    assert "delete Pod c-2" in world.said
    world.seen = kill(outdated(formed(), 0, 1), 2, trouble="ErrImagePull")
    world.look()
    throttle.release(ANOTHER)
    assert not throttle.admit(ANOTHER)
    assert KEY
