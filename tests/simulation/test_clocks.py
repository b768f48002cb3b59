"""Log time when clocks are wrong: the table of docs/internals/time.md, for 1, 2, 3 and 5 voters,
with the production code in virtual time.

In the seeded runs (test_cluster.py) clocks are set, stand still and run off as well, and
invariants.py holds log time to never being early."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from counter_node.counters import ops as o

from tests.simulation.clocks import EPOCH_MS, HOUR_MS, YEAR_2040_MS
from tests.simulation.nemesis import Joiner
from tests.simulation.node import Node
from tests.simulation.world import World

DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
AFTER_MS = 5_000


def cluster(size: int, seed: int = 1, rates: tuple[float, ...] = ()) -> World:
    """Of `size` voters whose calendar is agreed on, in calm weather."""
    world = World(seed)
    world.found(size)
    world.invariants.fastest = max(world.invariants.fastest, *rates, 1.0)
    for node, rate in zip(world.nodes.values(), rates, strict=False):
        node.clocks.set_rate(rate)
    for node in world.nodes.values():
        node.clocks.synchronised = size == 1
    Joiner(world)
    world.run(world.now + 120_000, lambda: formed(world, size))
    assert formed(world, size), world.state()
    return world


def formed(world: World, size: int) -> bool:
    leader = world.leader()
    return (
        leader is not None
        and leader.replica is not None
        and len(leader.replica.raft.voters) == size
        and leader.replica.machine.calendar_agreed
    )


def machine(world: World) -> Any:
    leader = world.leader()
    assert leader is not None
    assert leader.replica is not None, world.state()
    return leader.replica.machine


def ask(world: World, op: Any, *, read: bool = False) -> Any:
    """Of the leader, whoever that is."""
    got: list[Any] = []

    def submit(node: Node) -> None:
        assert node.replica is not None
        (node.replica.submit_read if read else node.replica.submit_write)(got.append, [op])

    world.run(
        world.now + 20_000,
        lambda: world.leader() is not None and world.leader().replica.gateway.registered,
    )  # type: ignore[union-attr]
    leader = world.leader()
    assert leader is not None, world.state()
    leader.request(submit)
    world.run(world.now + 20_000, lambda: bool(got))
    return got[0]


def expiring(key: bytes, ms: int) -> Any:
    return [o.SET, key, 5, o.ALWAYS, None, o.EX_IN, ms, False]


def full_stop(world: World, ms: float, walls: Callable[[Node], float | None]) -> None:
    """All machines are down for so long, and booted with these wall clocks (None: the right
    time)."""
    for node in world.nodes.values():
        node.crash()
        node.reboot()
    world.skip(ms)
    for node in world.nodes.values():
        wall = walls(node)
        node.clocks.set_wall(node.clocks.true_ms if wall is None else wall)
        node.start()


WRONG = [8 * HOUR_MS, -HOUR_MS, -EPOCH_MS, YEAR_2040_MS - EPOCH_MS]


@pytest.mark.parametrize(
    ("size", "wrong", "by_ms"),
    [(1, 0, 0), (2, 0, 0), *((3, 1, ms) for ms in WRONG), *((5, 2, ms) for ms in WRONG)],
)
def test_a_week_of_hibernation_is_caught_up_although_a_minority_of_clocks_is_wrong(
    size: int, wrong: int, by_ms: int
) -> None:
    world = cluster(size, seed=size)
    for key, ms in ((b"hour", HOUR_MS), (b"month", 30 * DAY_MS)):
        assert ask(world, expiring(key, ms)) == "OK"
    once = o.idmp(b"p", 1, b"counted")
    assert ask(world, once) == 1
    full_stop(
        world, WEEK_MS, lambda node: node.clocks.true_ms + by_ms if node.id <= wrong else None
    )
    if size == 1:
        world.run(world.now + 70_000)  # until the kernel has vouched for its clock for a minute
    else:
        world.run(world.now + 20_000, lambda: world.leader() is not None)
    assert ask(world, o.get(b"hour"), read=True) is None, "a read does not come before the jump"
    world.run(world.now + AFTER_MS)
    leader = world.leader()
    assert leader is not None
    assert leader.replica is not None
    late = EPOCH_MS + world.now - leader.replica.time.now() - machine(world).offset_ms
    assert 0 <= late <= 1_000, "by its stamps, not by the entry that happens to be the last"
    assert set(machine(world).values) == {b"month", b"counted"}
    assert ask(world, once) == 1, "nobody is forgotten because of a jump"


@pytest.mark.parametrize(("size", "wrong"), [(1, 1), (2, 1), (3, 2), (5, 3)])
def test_more_wrong_clocks_than_are_borne_make_nothing_early(size: int, wrong: int) -> None:
    """They differ among themselves; one that is wrong together with others is not defended
    against."""
    world = cluster(size, seed=size)
    assert ask(world, expiring(b"k", 2 * WEEK_MS)) == "OK"
    offset = machine(world).offset_ms
    for node in world.nodes.values():
        node.clocks.synchronised = False
    full_stop(
        world,
        WEEK_MS,
        lambda node: node.clocks.true_ms + node.id * 400 * DAY_MS if node.id <= wrong else None,
    )
    world.run(world.now + 30_000)
    assert machine(world).time_ms + machine(world).offset_ms <= EPOCH_MS + world.now
    assert ask(world, o.get(b"k"), read=True) == b"5"
    assert ask(world, expiring(b"new", 20_000)) == "OK"
    for node in world.nodes.values():
        node.clocks.put_right()
    world.run(world.now + (70_000 if size == 1 else 3_000))
    for node in world.nodes.values():
        node.clocks.synchronised = True
    world.run(world.now + AFTER_MS)
    assert machine(world).jumps[1] >= WEEK_MS - 5_000, "made up for once the clocks agree"
    assert b"k" in machine(world).values
    assert abs(machine(world).offset_ms - offset) < 1_000
    if size > 1:
        assert b"new" in machine(world).values, "what was set meanwhile keeps what was left"


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_no_wall_clock_moves_log_time_and_no_election_renews_or_skips_anything(size: int) -> None:
    ttl = 30_000
    world = cluster(size, seed=20 + size)
    for node in world.nodes.values():
        node.clocks.set_rate(1.0 + 0.02 * (node.id % 3 - 1))
    began = world.now
    assert ask(world, expiring(b"k", ttl)) == "OK"
    for turn in range(25):
        node = world.nodes[1 + turn % size]
        wall = world.random.choice([0.0, float(YEAR_2040_MS), node.clocks.true_ms - HOUR_MS, None])
        node.clocks.set_wall(wall, world.random.choice([0.0, 1.0, 2.0]))
        leader = world.leader()
        if (
            size > 1
            and leader is not None
            and leader.replica is not None
            and leader.replica.raft.leadership is not None
        ):
            leader.replica.raft.leadership.transfer(0)
            leader.wake()
        elif leader is not None:
            leader.crash()
            leader.start_in(100)
        world.run(began + 0.94 * ttl / 25 * (turn + 1))
    assert ask(world, o.get(b"k"), read=True) == b"5"
    world.run(began + ttl / 0.94 + (25 * 250 if size == 1 else 500))
    assert ask(world, o.get(b"k"), read=True) is None
    assert machine(world).jumps == (0, 0)


def test_a_leader_whose_running_clock_runs_off_hands_over() -> None:
    world = cluster(3, seed=5, rates=(1.1, 1.0, 1.0))
    first = world.nodes[1]
    for _ in range(20):
        leader = world.leader()
        if leader is first:
            break
        if (
            leader is not None
            and leader.replica is not None
            and leader.replica.raft.leadership is not None
        ):
            leader.replica.raft.leadership.transfer(1)
            leader.wake()
        world.run(world.now + 500)
    assert world.leader() is first
    world.run(world.now + 75_000, lambda: world.leader() not in (None, first))
    assert world.leader() is not first
