"""The snapshots that a cluster begins with: the first of all, and that of a sole survivor. Pure."""

from __future__ import annotations

from counter_node.counters.history import RECOVERED, History
from counter_node.counters.levels import HISTORY_LEVEL
from counter_node.counters.machine import Machine
from counter_node.raft.types import Member, Membership, Removal, Snapshot, SnapshotMeta
from counter_node.replica.replica import Replica


def first_snapshot(node: Member, machine: Machine | None = None, *, began_ms: int = 0) -> Snapshot:
    """What a new cluster starts from: one voter and no counters; log time begins with `began_ms`.
    Everyone who joins gets the configuration by a snapshot."""
    return Snapshot(
        SnapshotMeta(1, 1, Membership((node,))), (machine or Machine(began_ms=began_ms)).snapshot()
    )


def sole_survivor(replica: Replica, me: Member, history: str) -> Snapshot:
    """What the node `me` would go on from alone: everything in its log, committed as far as it
    knows or not, since what was acknowledged may be among it; no member but itself; and as a
    history of its own, with this id, where the cluster's level has such. Nothing but a new start
    from it may follow."""
    raft, applying = replica.raft, replica.applying
    applying.restore()
    raft.log.committed = raft.log.last_index
    applying.apply_all()
    term, index = raft.term + 1, replica.applied + 1
    gone = [m.id for m in raft.membership.members if m.id != me.id]
    removals = (*raft.membership.removals, *(Removal(i, term, index) for i in gone))
    alone = Membership((me,), (*raft.membership.removed, *gone), removals)
    machine = applying.machine
    if machine.level >= HISTORY_LEVEL:
        machine.begin_history(History(history, index, RECOVERED))
    return Snapshot(SnapshotMeta(index, term, alone), machine.snapshot())
