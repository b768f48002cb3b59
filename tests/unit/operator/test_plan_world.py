"""The plan against a world in which things go wrong: never below the majority, the leader last, one cluster ever, and in the end what was asked
for."""

from __future__ import annotations

import pytest

from tests.unit.operator.world import World

PASSES = 400


def settle(world: World) -> int:
    """Passes until nothing is left to do."""
    for count in range(PASSES):
        world.tick()
        if world.operate().settled and all(p.up for p in world.pods.values()):
            return count
    raise AssertionError(f"not at rest after {PASSES} passes: {world.operate()}\n{world.observe()}")


def check(world: World) -> None:
    assert sorted(o for o, votes in world.members.values() if votes) == list(range(world.replicas))
    assert world.set_replicas == world.replicas
    assert all(p.revision == world.revision for p in world.pods.values())
    assert world.bootstraps == 1


@pytest.mark.parametrize("replicas", [1, 2, 3, 5, 7])
def test_a_new_cluster_is_formed_once_and_grows_to_its_size(replicas: int) -> None:
    world = World(1, replicas)
    settle(world)
    check(world)


def test_scaling_goes_one_member_at_a_time_and_ends_with_the_claims_gone() -> None:
    world = World(2, 3)
    settle(world)
    for replicas in (5, 7, 3, 1):
        world.replicas = replicas
        settle(world)
        check(world)
        assert sorted(world.disks) == list(range(replicas))


def test_a_roll_restarts_every_pod_once_with_the_leader_last() -> None:
    world = World(3, 5)
    settle(world)
    leader = f"c-{world.members[world.leader or ''][0]}"
    world.restarted.clear()
    world.revision = "r2"
    settle(world)
    check(world)
    assert sorted(world.restarted) == [f"c-{n}" for n in range(5)]
    assert world.restarted[-1] == leader


def test_a_bad_image_stops_the_roll_at_the_first_pod_and_a_good_one_goes_on() -> None:
    world = World(4, 3)
    settle(world)
    world.restarted.clear()
    world.revision = "bad"
    world.bad_revisions.add("bad")
    for _ in range(50):
        world.tick()
        assert not world.operate().settled
    assert len(world.restarted) == 1
    assert len(world.active()) == 2
    world.revision = "r1"
    settle(world)
    check(world)


def test_a_bad_image_at_creation_can_be_mended() -> None:
    world = World(5, 3)
    world.revision = "bad"
    world.bad_revisions.add("bad")
    for _ in range(20):
        world.tick()
        world.operate()
    world.revision = "r2"
    settle(world)
    check(world)


def test_a_statefulset_deleted_in_the_middle_of_scaling_down_comes_back_with_every_member() -> None:
    world = World(6, 5)
    settle(world)
    world.replicas = 1
    world.tick()
    world.operate()
    world.set_replicas = None
    world.pods.clear()
    world.leader = None
    settle(world)
    check(world)


@pytest.mark.parametrize("seed", range(300))
def test_whatever_goes_wrong_the_majority_is_kept_and_the_end_is_as_asked(seed: int) -> None:
    world = World(seed, 3)
    for _ in range(120):
        world.tick()
        world.operate()
        if world.random.random() < 0.12:
            world.fault()
    if world.revision in world.bad_revisions:
        world.revision = "mended"
    settle(world)
    check(world)
