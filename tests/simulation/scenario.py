"""One seeded run: a safety phase in which everything breaks, then a liveness phase in which everything is mended and must come to an end.

A failure is an `AssertionError` (usually `Broken`) whose message names the invariant; `replay(seed)` does the same again to the byte.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from counter_node.counters import ops as operations
from counter_node.raft.leadership import Busy, NotReady
from counter_node.raft.membership import ChangeRefused
from counter_node.raft.types import ChangeKind, MembershipChange

from tests.simulation.clients import Client, Ledger
from tests.simulation.invariants import Broken
from tests.simulation.world import Node, Weather, World

LIVENESS_MS = 60_000
KEYS = (b"exact", b"plain")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What may happen in the safety phase. Each rate is the mean time between two such events, in ms; 0 = never."""

    size: int = 3
    duration_ms: int = 15_000
    clients: int = 6
    crash_ms: int = 1_500
    partition_ms: int = 2_000
    pause_ms: int = 2_500
    transfer_ms: int = 3_000
    snapshot_ms: int = 800
    membership_ms: int = 2_000
    skew_ms: int = 3_000
    zombie_ms: int = 3_000
    flicker_ms: int = 1_000
    rough_weather: bool = True


@dataclasses.dataclass(frozen=True)
class Report:
    seed: int
    events: int
    acknowledged: int
    unknown: int
    reads: int
    terms: int
    trace: str


class Nemesis:
    """Breaks things at random, and mends them again."""

    def __init__(self, world: World, plan: Plan) -> None:
        self.world, self.plan, self.active = world, plan, True
        self._schedule(plan.crash_ms, self.crash)
        self._schedule(plan.partition_ms, self.partition)
        self._schedule(plan.pause_ms, self.pause)
        self._schedule(plan.transfer_ms, self.transfer)
        self._schedule(plan.snapshot_ms, self.snapshot)
        self._schedule(plan.membership_ms, self.change_membership)
        self._schedule(plan.skew_ms, self.skew)
        self._schedule(plan.zombie_ms, self.zombie)
        self._schedule(plan.flicker_ms, self.flicker)
        if plan.rough_weather:
            self._schedule(1_000, self.change_weather)

    def _schedule(self, mean_ms: int, action: Callable[[], None]) -> None:
        if mean_ms:
            self.world.at(self.world.random.expovariate(1 / mean_ms), lambda: self._fire(mean_ms, action))

    def _fire(self, mean_ms: int, action: Callable[[], None]) -> None:
        if self.active:
            action()
            self._schedule(mean_ms, action)

    def _some_node(self) -> Node | None:
        up = self.world.up_nodes()
        leader = self.world.leader()
        if leader is not None and self.world.random.random() < 0.5:
            return leader
        return self.world.random.choice(up) if up else None

    def crash(self) -> None:
        nodes = [self._some_node()]
        if self.world.random.random() < 0.1:
            nodes = list(self.world.up_nodes())  # the whole cluster at once
        for node in nodes:
            if node is not None and node.up:
                node.crash()
                self.world.at(self.world.random.uniform(10, 3_000), lambda node=node: None if node.up else node.start())

    def partition(self) -> None:
        world, ids = self.world, list(self.world.nodes)
        kind = world.random.random()
        if kind < 0.3:
            a, b = world.random.sample(ids, 2)
            cut = {(a, b)}  # one way
        else:
            leader = world.leader()
            island = {leader.id} if kind < 0.6 and leader is not None else set(world.random.sample(ids, len(ids) // 2))
            cut = {(a, b) for a in ids for b in ids if (a in island) != (b in island)}
        world.blocked |= cut
        world.at(world.random.uniform(50, 4_000), lambda: world.blocked.difference_update(cut))

    def pause(self) -> None:
        node = self._some_node()
        if node is not None:
            node.paused = True
            self.world.at(self.world.random.uniform(10, 3_000), node.resume)

    def zombie(self) -> None:
        """The leader is cut off and stopped long enough to be replaced, then goes on, still cut off, with its clients' reads waiting."""
        world, leader = self.world, self.world.leader()
        if leader is None:
            return
        cut = {pair for other in world.nodes for pair in ((leader.id, other), (other, leader.id)) if other != leader.id}
        world.blocked |= cut
        leader.paused = True
        pause = world.random.uniform(300, 1_500)
        world.at(pause, leader.resume)
        world.at(pause + world.random.uniform(10, 300), lambda: world.blocked.difference_update(cut))

    def flicker(self) -> None:
        """A node that has just voted, or otherwise is in an election, dies and is back at once."""
        candidates = [n for n in self.world.up_nodes() if n.replica is not None and n.replica.raft.leader == 0]
        if candidates:
            node = self.world.random.choice(candidates)
            node.crash()
            self.world.at(self.world.random.uniform(0.1, 5), lambda: None if node.up else node.start())

    def skew(self) -> None:
        node = self._some_node()
        if node is not None:
            node.skew_ms = self.world.random.randint(-5_000, 5_000)

    def snapshot(self) -> None:
        node = self._some_node()
        if node is not None:
            node.take_snapshot()

    def transfer(self) -> None:
        leader = self.world.leader()
        if leader is not None and not leader.paused and leader.replica is not None and leader.replica.raft.leadership is not None:
            try:
                leader.replica.raft.leadership.transfer(0)
            except (ChangeRefused, Busy):
                return
            leader.wake()

    def change_membership(self) -> None:
        """Sometimes replace a node by a new one, as the operator does after a lost disk."""
        leader = self.world.leader()
        if leader is None or leader.replica is None:
            return
        others = [m for m in leader.replica.raft.membership.members if m.id != leader.id]
        if len(others) >= self.plan.size and self.world.random.random() < 0.7:
            victim = self.world.random.choice(others).id
            if propose(leader, MembershipChange(ChangeKind.REMOVE, victim)):
                self.world.at(500, lambda: self._bury(victim))
        elif len(others) < self.plan.size + 1:
            self.world.new_node().start()

    def _bury(self, victim: int) -> None:
        leader = self.world.leader()
        if leader is not None and leader.replica is not None and victim in leader.replica.raft.membership.removed:
            node = self.world.nodes[victim]
            if node.up:
                node.crash()

    def change_weather(self) -> None:
        r = self.world.random
        self.world.weather = Weather(
            drop=r.choice([0, 0, 0.02, 0.2]),
            duplicate=r.choice([0, 0.05, 0.2]),
            delay_ms=r.choice([(0.2, 2), (0.2, 30), (5, 80)]),
            long_delay=r.choice([0, 0, 0.02]),
            sync_ms=r.choice([(0.1, 1), (1, 20), (5, 60)]),
            slow_sync=r.choice([0, 0, 0.01]),
        )

    def mend(self) -> None:
        self.active = False
        world = self.world
        world.blocked.clear()
        world.weather = Weather()
        for node in world.nodes.values():
            if node.up:
                node.resume()
            elif not self._is_removed(node):
                node.start()

    def _is_removed(self, node: Node) -> bool:
        leader = self.world.leader()
        return leader is not None and leader.replica is not None and node.id in leader.replica.raft.membership.removed


def propose(leader: Node, change: MembershipChange) -> bool:
    assert leader.replica is not None
    leadership = leader.replica.raft.leadership
    if leader.paused or leadership is None:
        return False
    try:
        leadership.propose_change(change)
    except (ChangeRefused, Busy, NotReady):
        return False
    leader.wake()
    return True


class Joiner:
    """The operator's part: every node that is up and no member becomes a learner, every learner a voter, one step at a time."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.at(20, self._step)

    def _step(self) -> None:
        self.world.at(100, self._step)
        leader = self.world.leader()
        if leader is None or leader.replica is None:
            return
        membership = leader.replica.raft.membership
        for node in self.world.up_nodes():
            member = membership.get(node.id)
            if node.id in membership.removed or (member is not None and member.voter):
                continue
            kind = ChangeKind.PROMOTE if member is not None else ChangeKind.ADD_LEARNER
            learner = None if member is not None else self.world.member(node.id, voter=False)
            propose(leader, MembershipChange(kind, node.id, learner))
            return


def run(seed: int, plan: Plan = Plan()) -> Report:
    world = World(seed, plan.size)
    Joiner(world)
    ledgers = {key: Ledger() for key in KEYS}
    clients = [
        Client(world, f"c{i}", KEYS[i % 2], ledgers[KEYS[i % 2]], exactly_once=i % 2 == 0, read_share=0.3, ops=operations)
        for i in range(plan.clients)
    ]
    world.run(2_000)
    nemesis = Nemesis(world, plan)
    world.run(plan.duration_ms)
    nemesis.mend()
    _liveness(world, clients)
    exact, plain = ledgers[KEYS[0]], ledgers[KEYS[1]]
    _final_values(world, exact, plain)
    reads = sum(c.finished for c in clients) - exact.acknowledged - plain.acknowledged - plain.unknown
    terms = max(n.replica.raft.term for n in world.up_nodes() if n.replica is not None)
    return Report(seed, world.events, exact.acknowledged + plain.acknowledged, plain.unknown, reads, terms, world.trace_hash())


def _liveness(world: World, clients: list[Client]) -> None:
    """Everything is mended: every client gets more answers, then finishes, and all nodes end with the same log applied."""
    before = {c.name: c.finished for c in clients}
    end = world.now + LIVENESS_MS
    world.run(end, lambda: all(c.finished > before[c.name] + 2 for c in clients))
    stuck = [c.name for c in clients if c.finished <= before[c.name] + 2]
    if stuck:
        raise Broken(f"liveness: {stuck} got no answers in {LIVENESS_MS} ms after everything was mended\n{world.state()}")
    for client in clients:
        client.stop()
    world.run(world.now + LIVENESS_MS, lambda: all(c.done for c in clients))
    world.run(world.now + 5_000)


def _final_values(world: World, exact: Ledger, plain: Ledger) -> None:
    states: dict[int, Any] = {}
    for node in world.up_nodes():
        assert node.replica is not None
        if node.replica.is_voter and node.id not in node.replica.raft.membership.removed:
            states[node.id] = (node.replica.applied, dict(node.replica.machine.values))
    leader = world.leader()
    if leader is None:
        raise Broken(f"liveness: no leader at the end\n{world.state()}")
    members = leader.replica.raft.voters if leader.replica is not None else frozenset()
    final = states[leader.id]
    behind = {n: s[0] for n, s in states.items() if n in members and s != final}
    if behind:
        raise Broken(f"liveness: nodes are at {behind}, the leader at {final[0]}\n{world.state()}")
    values = final[1]
    if values.get(KEYS[0], 0) != exact.acknowledged or exact.acknowledged != exact.started:
        raise Broken(f"exactly once: {exact.started} asked, {exact.acknowledged} acknowledged, counter at {values.get(KEYS[0], 0)}\n{world.state()}")
    counted = values.get(KEYS[1], 0)
    if not plain.acknowledged <= counted <= plain.acknowledged + plain.unknown:
        raise Broken(f"durability: {plain.acknowledged} acknowledged, {plain.unknown} unknown, counter at {counted}\n{world.state()}")
