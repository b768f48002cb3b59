"""The turn of the loop: whatever the sockets delivered was handed to the replica; then a turn runs
once, sends one message to each peer, starts the disk job, and delivers each client's replies.
Nothing here decides about Raft or counters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from counter_node.cache.publisher import Publisher
from counter_node.logs import log
from counter_node.net.clients import ClientServer
from counter_node.net.frames import frame, frames
from counter_node.net.peers import Peers
from counter_node.node.own_reads import Questions
from counter_node.node.snapshot_sender import SnapshotSender
from counter_node.node.snapshot_taker import SnapshotTaker
from counter_node.raft.messages import InstallSnapshot
from counter_node.raft.types import NodeId
from counter_node.replica.disk_jobs import DiskJob
from counter_node.replica.peer_messages import PeerMessage
from counter_node.replica.replica import Replica
from counter_node.storage import DamagedError, StorageError
from counter_node.views.metrics import Metrics

MERGE_S = 0.001
"""For so long what was gathered while a batch was in flight waits for the next commands of those
who were answered, to go as one batch with them."""


class Turned(Protocol):
    """What a turn needs of the node."""

    replica: Replica
    clients: ClientServer
    questions: Questions
    metrics: Metrics
    cache: Publisher | None
    peers: Peers
    sender: SnapshotSender
    snapshots: SnapshotTaker

    def spawn(self, work: Any) -> None: ...

    def end_with(self, error: BaseException) -> None: ...


class Turns:
    """`deliver` takes the clients' replies, and `start_job` the disk job; both are set when the
    node is put together."""

    deliver: Callable[[Sequence[tuple[Any, list[Any]]]], None]
    start_job: Callable[[DiskJob], None]

    def __init__(self, node: Turned, loop: asyncio.AbstractEventLoop) -> None:
        self._node, self._loop = node, loop
        self._turn_due = self._in_turn = self._another_turn = self._again_soon = False
        self._was_leader = False

    def wake(self) -> None:
        """Something changed in the replica: a turn is due."""
        if not self._turn_due:
            self._turn_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Nothing when `turn_now` did what was due."""
        if self._turn_due:
            self.turn_now()

    def turn_now(self) -> None:
        """Others wait for what this turn sends, so it does not wait for the next round of the loop.
        In the middle of a turn: right after that one."""
        self._another_turn = True
        if self._in_turn:
            return
        self._in_turn = True
        try:
            while self._another_turn:
                self._another_turn = False
                self._one_turn()
        except Exception as error:
            self._node.end_with(error)
        finally:
            self._in_turn = False

    def _one_turn(self) -> None:
        node = self._node
        self._turn_due = False
        node.clients.lane.submit()
        replica = node.replica
        turn = replica.turn()
        if turn.messages:
            self.send(turn.messages)
        if turn.replies:
            self.deliver(node.questions.take(turn.replies) if node.questions.open else turn.replies)
        if turn.job is not None:
            self.start_job(turn.job)
        node.metrics.turned(replica.raft)
        if node.cache is not None:
            self._publish(node.cache)
        if replica.applying.unfinished:
            self.wake()
        elif turn.gathered and not self._again_soon:
            self._again_soon = True
            self._loop.call_later(MERGE_S, self._soon)

    def _soon(self) -> None:
        self._again_soon = False
        if self._node.replica.gateway.can_send:
            self.wake()

    def send(self, messages: list[tuple[NodeId, PeerMessage]]) -> None:
        node = self._node
        by_peer: dict[NodeId, list[PeerMessage]] = {}
        for to, message in messages:
            if isinstance(message, InstallSnapshot):
                node.spawn(self._send_snapshot(to, message))
            else:
                by_peer.setdefault(to, []).append(message)
        last: list[PeerMessage] = []
        found: list[bytes] = []
        for to, bundle in by_peer.items():
            if bundle != last:  # nearly always all members are sent the same
                last, found = bundle, frames(bundle)
            link = node.peers.link(to)
            for data in found:
                if link is None or not link.send(data):
                    node.replica.unreachable(to)
                    break

    async def _send_snapshot(self, to: NodeId, message: InstallSnapshot) -> None:
        node = self._node
        link = node.peers.link(to)
        if link is None or not link.connected:
            node.replica.unreachable(to)
            return
        try:
            piece = await node.sender.fill(message)
        except DamagedError as error:
            log.critical(
                "the snapshot that is to be sent cannot be trusted, a new one is taken: %s",
                error,
                extra={"to": f"{to:016x}"},
            )
            node.replica.snapshot_gone(to)
            node.snapshots.take_soon()
            return
        except StorageError as error:
            log.warning(
                "the snapshot that is being sent is not there any more: %s",
                error,
                extra={"to": f"{to:016x}"},
            )
            node.replica.snapshot_gone(to)
            self.wake()
            return
        if not link.send(frame([piece])):
            node.replica.unreachable(to)
        elif message.offset == 0 or piece.last:
            if piece.last:
                node.metrics.events["counter_snapshots_sent"] += 1
            done = message.offset + len(piece.data)
            log.info(
                "snapshot sent" if piece.last else "sending a snapshot",
                extra={"to": f"{to:016x}", "index": message.meta.index, "bytes": done},
            )

    def _publish(self, cache: Publisher) -> None:
        node = self._node
        leads = node.replica.is_leader
        machine = node.replica.machine
        if leads != self._was_leader:
            self._was_leader = leads
            machine.track_dirty = leads
            machine.take_dirty()
            if leads:
                cache.start()
            else:
                node.spawn(cache.stop())
        elif leads:
            dirty = machine.take_dirty()
            if machine.take_all_dirty():
                cache.everything_changed()
            if dirty:
                cache.changed(dirty)
