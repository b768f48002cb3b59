"""The last resort: what one survivor goes on from."""

from __future__ import annotations

import random

from counter_node.counters import batches
from counter_node.counters import ops as o
from counter_node.counters.machine import Machine
from counter_node.gateway import Gateway
from counter_node.raft.core import Config
from counter_node.raft.types import NONE, Entry, EntryKind, HardState, Member, Membership, Snapshot, SnapshotMeta
from counter_node.replica import Replica


def member(node: int) -> Member:
    return Member(node, f"n{node}", f"n{node}:7000", f"n{node}:6379", True)


def survivor(committed: int) -> Replica:
    """Node 1 of three, which has three entries: a session that is opened, and two increments; 9 was removed before."""
    machine = Machine()
    first = Snapshot(SnapshotMeta(1, 1, Membership((member(1), member(2), member(3)), (9,))), machine.snapshot())
    session = Machine().apply(2, batches.stamp(1, batches.encode_open(5)), lambda _session, _number: []).session
    bodies = [batches.encode_open(5), *(batches.encode_batch(session, n, [[o.INCRBY, b"k", 1]]) for n in (1, 2))]
    entries = [Entry(2 + n, 4, EntryKind.DATA, batches.stamp(1, body)) for n, body in enumerate(bodies)]
    gateway = Gateway(7, is_write=o.is_write, tick_ms=10, patience_ticks=100, retry_ticks=5)
    return Replica(Config(1), HardState(4, NONE, committed), first, entries, gateway=gateway, clock_ms=lambda: 1, randint=random.Random(1).randint)


def test_everything_in_its_log_is_kept_whether_it_knew_it_to_be_committed_or_not() -> None:
    for committed in (1, 3, 4):
        snapshot = survivor(committed).sole_survivor(member(1))
        assert Machine.restore(snapshot.state).values == {b"k": 2}
        assert (snapshot.meta.index, snapshot.meta.term) == (5, 5), "after all that was there, in a term of its own"


def test_it_is_alone_and_every_other_id_is_removed_for_ever() -> None:
    membership = survivor(1).sole_survivor(member(1)).meta.membership
    assert [m.id for m in membership.members] == [1]
    assert sorted(membership.removed) == [2, 3, 9]
