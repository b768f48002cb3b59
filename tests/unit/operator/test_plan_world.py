"""The plan against a world in which things go wrong: never below the majority, the leader last, one
cluster ever, and in the end what was asked for."""

from __future__ import annotations

import pytest
from countercluster_operator.decide.quorum import quorum

from tests.support.unit.plan_faults import fault
from tests.support.unit.plan_parts import Disk
from tests.support.unit.plan_world import World
from tests.support.unit.settling import settle


def check(world: World) -> None:
    assert sorted(o for o, votes in world.members.values() if votes) == list(range(world.replicas))
    assert world.set_replicas == world.replicas
    assert all(p.revision == world.revision for p in world.pods.values())
    assert world.bootstraps == 1
    assert world.set_owner == world.uid, "it would outlive its cluster"
    owner = world.uid if world.keep == "Delete" else ""
    assert {o: d.owner for o, d in world.disks.items()} == dict.fromkeys(world.disks, owner)


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
    first = world.manifest()
    for _ in range(120):
        world.tick()
        world.operate(world.random.choice(["", "", "", "", "status", "claims", "step"]))
        if world.random.random() < 0.12:
            fault(world)
    if seed % 2:
        world.apply(first)
        assert world.revision == "r1", "whatever was set is taken back by the manifest of before"
    elif world.revision in world.bad_revisions:
        world.revision = "mended"
    world.hibernated, world.maintenance = False, ""
    world.mend()
    settle(world)
    check(world)
    assert not [o for o, pod in world.pods.items() if pod.stray]


def disturbed(seed: int) -> World:
    world = World(seed, 3)
    settle(world)
    world.restarted.clear()
    return world


def run(world: World, ticks: int = 60) -> None:
    for _ in range(ticks):
        world.tick()
        world.operate()


def test_hibernation_ends_every_pod_keeps_every_disk_and_wakes_as_who_it_was() -> None:
    world = disturbed(7)
    disks = {o: d.node_id for o, d in world.disks.items()}
    world.hibernated, world.replicas = True, 1
    run(world)
    assert world.operate().settled
    assert world.pods == {}
    assert {o: d.node_id for o, d in world.disks.items()} == disks
    world.hibernated, world.replicas = False, 3
    settle(world)
    check(world)
    assert {o: d.node_id for o, d in world.disks.items()} == disks


def test_who_is_in_maintenance_does_not_lead_and_is_left_alone() -> None:
    world = disturbed(8)
    ordinal, _ = world.members[world.leader or ""]
    world.maintenance = f"c-{ordinal}"
    world.revision = "r2"
    run(world)
    assert world.members[world.leader or ""][0] != ordinal
    assert sorted(world.restarted) == sorted(f"c-{o}" for o in range(3) if o != ordinal)
    assert "maintenance" in world.operate().waiting
    world.maintenance = ""
    settle(world)
    check(world)


def test_a_supervised_roll_waits_before_the_leader_for_a_word_about_this_very_revision() -> None:
    world = disturbed(9)
    leader = world.leader
    world.supervised, world.revision, world.approved = True, "r2", "r1"
    run(world)
    assert len(world.restarted) == 2
    assert world.leader == leader
    assert "roll-leader=r2" in world.operate().waiting
    world.approved = "r2"
    run(world)
    check(world)


def test_a_cluster_that_is_orphaned_and_applied_again_goes_on_as_the_same() -> None:
    world = disturbed(14)
    members, disks = dict(world.members), {o: d.uid for o, d in world.disks.items()}
    world.orphan()
    settle(world)
    check(world)
    assert (world.members, {o: d.uid for o, d in world.disks.items()}) == (members, disks)
    assert world.restarted == []


def test_a_member_whose_machine_is_lost_is_replaced_under_a_new_id() -> None:
    world = disturbed(10)
    victim = world.disks[2].node_id
    world.lose(world.disks[2].host)
    settle(world)
    check(world)
    assert victim not in world.members
    assert world.released == []


def test_a_pod_without_labels_is_made_again_also_when_it_leads() -> None:
    world = disturbed(11)
    world.pods[world.members[world.leader or ""][0]].stray = True
    settle(world)
    check(world)
    assert len(world.restarted) == 1


def test_volumes_that_are_retained_on_scale_in_are_there_until_their_number_is_needed() -> None:
    world = disturbed(12)
    world.retain = "Retain"
    old = world.disks[2].node_id
    world.replicas = 1
    settle(world)
    assert sorted(world.disks) == [0, 1, 2]
    world.replicas = 3
    settle(world)
    check(world)
    assert world.disks[2].node_id != old


@pytest.mark.parametrize("seed", range(20))
def test_a_lost_majority_is_given_up_only_when_asked_by_name_and_once(seed: int) -> None:
    world = disturbed(seed)
    world.replicas = world.random.choice([3, 5, 7])
    settle(world)
    survivor = world.random.choice(sorted(world.members))
    keep, _ = world.members[survivor]
    lost = world.random.sample([o for o in world.pods if o != keep], quorum(len(world.members)))
    for ordinal in lost:
        world.pods.pop(ordinal)
        world.disks[ordinal] = Disk(f"new{ordinal}")
    run(world)
    assert world.recoveries == 0
    assert world.operate().warning is not None
    world.recovery = survivor
    settle(world)
    check(world)
    assert world.recoveries == 1
    assert survivor in world.members
    world.leader = None
    settle(world)
    assert world.recoveries == 1


def test_a_recovery_asked_for_while_there_is_a_majority_is_void_for_ever() -> None:
    world = disturbed(13)
    world.recovery = world.leader
    settle(world)
    keep, _ = world.members[world.recovery or ""]
    for ordinal in [o for o in world.pods if o != keep]:
        world.pods.pop(ordinal)
        world.disks[ordinal] = Disk(f"new{ordinal}")
    run(world)
    assert world.recoveries == 0
    world.recovery = None
    run(world, 2)
    world.recovery = next(i for i, (o, _) in world.members.items() if o == keep)
    settle(world)
    assert world.recoveries == 1


@pytest.mark.parametrize("seed", range(20))
def test_a_minority_of_retained_volumes_goes_on_when_asked_also_when_nothing_is_remembered(
    seed: int,
) -> None:
    world = disturbed(seed)
    world.replicas = world.random.choice([3, 5])
    settle(world)
    survivor = world.random.choice(sorted(world.members))
    keep, _ = world.members[survivor]
    for ordinal in world.random.sample(
        [o for o in world.pods if o != keep], quorum(len(world.members))
    ):
        world.pods.pop(ordinal)
        world.disks[ordinal] = Disk(f"new{ordinal}")
    world.forget()
    world.recovery = survivor
    settle(world)
    check(world)
    assert world.recoveries == 1


@pytest.mark.parametrize("seed", range(20))
def test_a_recovery_of_long_ago_is_not_done_again_when_nothing_is_remembered(seed: int) -> None:
    """Everything starts again, in any order, with a manifest that still names the survivor."""
    world = disturbed(seed)
    world.recovery = world.random.choice(sorted(world.members))
    for pod in world.pods.values():
        pod.starts_in = world.random.randint(1, 8)
    world.leader = None
    world.forget()
    settle(world)
    check(world)
    assert world.recoveries == 0
