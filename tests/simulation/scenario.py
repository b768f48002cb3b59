"""One seeded run: a safety phase in which everything breaks, then a liveness phase in which
everything is mended and must come to an end.

A failure is an `AssertionError` (usually `Broken`) whose message names the invariant;
`replay(seed)` does the same again to the byte."""

from __future__ import annotations

import dataclasses
from typing import Any

from counter_node.counters import batches
from counter_node.counters import ops as operations
from counter_node.raft.types import Entry, EntryKind

from tests.simulation.clients import Bulk, Client, Ledger
from tests.simulation.faults import CALM_MS, draw
from tests.simulation.invariants import Broken
from tests.simulation.nemesis import Joiner, Nemesis
from tests.simulation.plan import PLANS, Plan
from tests.simulation.world import World

LIVENESS_MS = 60_000
WHOLE_AGAIN_MS = 1_500
"""With timeouts of 100 to 200 ms, and votes that may split."""
DISK_FAILED_MS = 2_000
"""In calm weather, with timeouts of 100 to 200 ms."""
KEYS = (b"exact", b"plain")


def plan_for(seed: int) -> str:
    """Two of three seeds get everything, the others one of the plans in turn."""
    return list(PLANS)[seed % len(PLANS)] if seed % 3 == 0 else "everything"


@dataclasses.dataclass(frozen=True)
class Report:
    seed: int
    events: int
    acknowledged: int
    unknown: int
    reads: int
    terms: int
    trace: str
    unknown_before: int
    """Of `unknown`, those from before the silent cut in which every run ends."""


def run(seed: int, plan: Plan = PLANS["everything"], world: World | None = None) -> Report:
    """Raises Broken, or whatever AssertionError the node itself raised. `world`: to look at
    afterwards."""
    world = World(seed, plan.storage, plan.leases) if world is None else world
    world.found(plan.size)
    joiner = Joiner(world)
    ledgers = {key: Ledger() for key in KEYS}
    clients = [
        Client(
            world,
            f"c{i}",
            KEYS[i % 2],
            ledgers[KEYS[i % 2]],
            exactly_once=i % 2 == 0,
            read_share=0.3,
            ops=operations,
        )
        for i in range(plan.clients)
    ]
    bulk = Bulk(world, plan.clients)
    world.run(CALM_MS)
    nemesis = Nemesis(
        world, plan, [f for f in draw(seed, plan) if plan.only is None or f.number in plan.only]
    )
    world.run(plan.duration_ms)
    nemesis.mend()
    bulk.stopped = True
    unknown_before = ledgers[KEYS[1]].unknown
    _liveness(world, clients, joiner, disk_fails=plan.disk_error_ms > 0)
    exact, plain = ledgers[KEYS[0]], ledgers[KEYS[1]]
    _final_values(world, exact, plain)
    reads = (
        (sum(c.finished for c in clients) - exact.acknowledged - plain.acknowledged - plain.unknown)
        - exact.failed
        - plain.failed
    )
    terms = max(n.replica.raft.term for n in world.up_nodes() if n.replica is not None)
    return Report(
        seed,
        world.events,
        exact.acknowledged + plain.acknowledged,
        plain.unknown,
        reads,
        terms,
        world.trace_hash(),
        unknown_before,
    )


def _liveness(world: World, clients: list[Client], joiner: Joiner, *, disk_fails: bool) -> None:
    """Everything is mended: every client gets more answers, then finishes, everyone who waits
    becomes a voter, and all nodes end with the same log applied."""
    before = {c.name: c.finished for c in clients}
    end = world.now + LIVENESS_MS
    world.run(end, lambda: all(c.finished > before[c.name] + 2 for c in clients))
    stuck = [c.name for c in clients if c.finished <= before[c.name] + 2]
    if stuck:
        raise Broken(
            f"liveness: {stuck} got no answers in {LIVENESS_MS} ms after everything was "
            f"mended\n{world.state()}"
        )
    _is_whole_soon_after_a_silent_cut(world)
    if disk_fails:
        _goes_on_without_a_disk(world, clients)
    for client in clients:
        client.stop()
    world.run(world.now + LIVENESS_MS, lambda: all(c.done for c in clients))
    world.run(world.now + LIVENESS_MS, lambda: joiner.done)
    if not joiner.done:
        raise Broken(
            f"liveness: some nodes did not become voters in {LIVENESS_MS} ms after everything "
            f"was mended\n{world.state()}"
        )
    world.run(world.now + 5_000)
    position = _log_ends(world)
    world.run(world.now + 1_000)
    if _log_ends(world) != position:
        raise Broken(f"liveness: nobody asks for anything, and the log grows\n{world.state()}")
    leader = world.leader()
    members = (
        leader.replica.raft.voters
        if leader is not None and leader.replica is not None
        else frozenset()
    )
    waiting = [
        n.id
        for n in world.up_nodes()
        if n.id in members and n.replica is not None and not n.replica.gateway.wants_nothing
    ]
    if waiting:
        raise Broken(
            f"liveness: batches of the gateways of {waiting} are never answered\n{world.state()}"
        )


def _is_whole_soon_after_a_silent_cut(world: World) -> None:
    """All packets between all nodes are dropped for long; then nobody waits for TCP."""
    ids = list(world.nodes)
    cut_ms = world.random.uniform(2_000, 6_000)
    world.cut({(a, b) for a in ids for b in ids if a != b}, cut_ms)
    world.run(world.now + cut_ms + 1)
    end = world.now + WHOLE_AGAIN_MS

    def whole() -> bool:
        leader = world.leader()
        if leader is None or leader.replica is None:
            return False
        voters = [
            n
            for n in world.up_nodes()
            if n.id in leader.replica.raft.voters and n.replica is not None
        ]
        return leader.id in leader.replica.raft.voters and all(
            n.replica.raft.leader == leader.id for n in voters
        )  # type: ignore[union-attr]

    world.run(end, whole)
    if not whole():
        raise Broken(
            f"liveness: {WHOLE_AGAIN_MS} ms after a silent cut of {cut_ms:.0f} ms some hear no "
            f"leader\n{world.state()}"
        )


def _goes_on_without_a_disk(world: World, clients: list[Client]) -> None:
    """The leader's disk fails for good while its process lives, hears and talks: the others elect
    one of them soon and go on."""
    leader = world.leader()
    if leader is None or leader.replica is None or len(leader.replica.raft.voters) < 3:
        return
    for node in world.up_nodes():
        world.run(
            world.now + LIVENESS_MS, lambda node=node: node.job is None
        )  # what was slow in the weather before
    leader.disk.breaks = leader.stays_failed = True
    world.run(world.now + LIVENESS_MS, lambda: leader.failed)
    before = {c.name: c.finished for c in clients}
    world.run(world.now + DISK_FAILED_MS, lambda: world.leader() is not None)
    if world.leader() is None:
        raise Broken(
            f"liveness: no leader for {DISK_FAILED_MS} ms after the leader's disk "
            f"failed\n{world.state()}"
        )
    world.run(world.now + LIVENESS_MS, lambda: all(c.finished > before[c.name] for c in clients))
    stuck = [c.name for c in clients if c.finished <= before[c.name]]
    if stuck:
        raise Broken(
            f"liveness: {stuck} got no answers in {LIVENESS_MS} ms while one node's disk had "
            f"failed\n{world.state()}"
        )
    leader.stays_failed = False
    leader.crash()
    leader.start()


def _log_ends(world: World) -> dict[int, int]:
    """But for the calendar, which follows clocks that run fast or slow also when nobody asks for
    anything."""
    ends = {}
    for node in world.up_nodes():
        if node.replica is not None:
            log = node.replica.raft.log
            asked = (entry.index for entry in reversed(log.entries) if not _is_calendar(entry))
            ends[node.id] = next(asked, log.offset)
    return ends


def _is_calendar(entry: Entry) -> bool:
    return (
        entry.kind is EntryKind.DATA
        and type(batches.decode(memoryview(entry.data)[batches.TIME_BYTES :])) is batches.Calendar
    )


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
        raise Broken(
            f"exactly once: {exact.started} asked, {exact.acknowledged} acknowledged, counter at "
            f"{values.get(KEYS[0], 0)}\n{world.state()}"
        )
    counted = values.get(KEYS[1], 0)
    if not plain.acknowledged <= counted <= plain.acknowledged + plain.unknown:
        raise Broken(
            f"durability: {plain.acknowledged} acknowledged, {plain.unknown} unknown, counter at "
            f"{counted}\n{world.state()}"
        )
