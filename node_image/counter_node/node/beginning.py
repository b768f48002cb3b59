"""How a cluster begins: with one node that forms it, or with one that goes on alone after its
majority was lost for ever (docs/operating/recover.md)."""

from __future__ import annotations

import asyncio
from typing import Protocol

from counter_node.logs import log
from counter_node.net.reach import reached
from counter_node.node.making import first_machine, make_replica, member_of, new_history
from counter_node.node.peering import Peering
from counter_node.node.snapshot_taker import SnapshotTaker
from counter_node.raft.alone import why_not_alone
from counter_node.raft.types import NONE, Entry, HardState, NodeId
from counter_node.replica.founding import first_snapshot, sole_survivor
from counter_node.replica.log_time import Note
from counter_node.replica.replica import Replica
from counter_node.security.tls import Tls
from counter_node.settings import Settings
from counter_node.storage import Storage, clock_note
from counter_node.users.access import Access

RECOVERED_S = 0.2
"""Between the answer to RAFT.RECOVER and the end of the process."""


class Begun(Protocol):
    """What a beginning needs of the node, and changes."""

    settings: Settings
    id: NodeId
    replica: Replica
    storage: Storage
    snapshots: SnapshotTaker
    access: Access
    tls: Tls | None
    failed: str
    fatal: asyncio.Future[None]

    def on_applied(self, entry: Entry) -> None: ...

    def max_bytes(self) -> int: ...

    def wake(self) -> None: ...


class Beginning:
    def __init__(self, node: Begun, loop: asyncio.AbstractEventLoop, peering: Peering) -> None:
        self._node, self._loop, self._peering = node, loop, peering

    def bootstrap(self) -> None:
        """Form a new cluster of this one node. The caller has checked that the node never belonged
        to one."""
        node = self._node
        s, began_ms = node.settings, clock_note.wall_ms()
        machine = first_machine(s, node.max_bytes(), began_ms)
        first = first_snapshot(member_of(node.id, s), machine)
        node.storage.save_snapshot(first)
        node.storage.write(HardState(1, NONE, first.meta.index), [], first.meta)
        node.storage.sync()
        track_dirty = node.replica.machine.track_dirty
        replica = make_replica(
            s,
            node.id,
            node.max_bytes(),
            node.access.user_limits,
            HardState(1, NONE, first.meta.index),
            first,
            [],
            Note(began_ms, clock_note.running_ms()),
        )
        replica.applying.on_applied = node.on_applied
        node.replica = replica
        node.replica.machine.track_dirty = track_dirty
        node.replica.raft.campaign()
        log.info(
            "cluster bootstrapped", extra={"cluster_id": s.cluster_id, "node_id": f"{node.id:016x}"}
        )
        node.wake()

    async def recover(self) -> str:
        """Give up the lost majority: this node goes on as the only member of its cluster, and every
        other id is removed. Ends the node, which starts again from what is on the disk then.
        Returns why not; the caller has checked that this node is a voter."""
        node = self._node
        if why := why_not_alone(node.replica.raft, ()):
            return why
        members = [m for m in node.replica.raft.membership.members if m.id != node.id]
        answer = await reached(
            [(m, self._peering.hello(m.id)) for m in members], node.tls, node.settings
        )
        while node.replica.writing or node.snapshots.busy:
            await asyncio.sleep(0.01)
        if why := node.failed or why_not_alone(
            node.replica.raft, answer
        ):  # last of all: a leader may have been elected meanwhile
            return why
        node.failed = "goes on alone: it starts again"  # from here on nothing else is written
        snapshot = sole_survivor(node.replica, member_of(node.id, node.settings), new_history())
        node.storage.save_snapshot(snapshot)
        node.storage.write(
            HardState(snapshot.meta.term, NONE, snapshot.meta.index), [], snapshot.meta
        )
        node.storage.sync()
        log.critical(
            "the majority is given up; this node goes on alone",
            extra={"index": snapshot.meta.index, "term": snapshot.meta.term},
        )
        self._loop.call_later(RECOVERED_S, self._end)
        return ""

    def _end(self) -> None:
        if not self._node.fatal.done():
            self._node.fatal.set_result(None)
