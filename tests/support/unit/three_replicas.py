"""Three replicas whose messages arrive at once, and whose disks hold so many bytes. Each write that
a disk takes makes its room smaller, as a real one's; a disk that would be asked for more than it
said fails the test."""

from __future__ import annotations

from typing import Any

from counter_node.counters.ops import is_write
from counter_node.raft.state import Config
from counter_node.raft.types import HardState, Snapshot, SnapshotMeta
from counter_node.replica.disk_room import on_disk
from counter_node.replica.founding import first_snapshot
from counter_node.replica.gateway import Gateway
from counter_node.replica.log_time import Clocks, Note
from counter_node.replica.replica import Replica

from tests.support.unit.raft_network import membership

EPOCH_MS = 1_800_000_000_000


class Three:
    def __init__(self) -> None:
        self.now_ms = EPOCH_MS
        self.cut: set[int] = set()
        self.room: dict[int, int] = {}  # of full disks: bytes, as node/disk.py tells them
        self.relief = 0
        self.replies: dict[Any, list[Any]] = {}
        self.nodes = {n: self._node(n) for n in (1, 2, 3)}
        self.nodes[1].raft.campaign()
        self.settle()
        self.tick(3)

    def _node(self, node: int) -> Replica:
        first = first_snapshot(membership(3).members[0])
        return Replica(
            Config(node, keep_entries=0),
            HardState(1, 0, 1),
            Snapshot(SnapshotMeta(1, 1, membership(3)), first.state),
            [],
            gateway=Gateway(
                node << 32, is_write=is_write, tick_ms=100, patience_ticks=35, retry_ticks=5
            ),
            clocks=Clocks(lambda: self.now_ms),
            randint=lambda low, high: low + node,
            note=Note(EPOCH_MS, EPOCH_MS),
        )

    @property
    def leader(self) -> int:
        return next(n for n, replica in self.nodes.items() if replica.is_leader)

    def fill(self, node: int, room: int, relief: int = 4_000) -> None:
        self.room[node], self.relief = room, relief
        self._say_room(node)

    def empty(self, node: int) -> None:
        del self.room[node]
        self._say_room(node)

    def _say_room(self, node: int) -> None:
        self.nodes[node].room_left(self.room.get(node), self.relief)

    def write(self, node: int, name: Any, *ops: Any) -> None:
        self.nodes[node].submit_write(name, list(ops))
        self.settle()
        for _ in range(10):  # less than the patience
            if name not in self.replies:
                self.tick()

    def settle(self) -> None:
        while sum(self.turn(node) for node in self.nodes):
            pass

    def turn(self, node: int) -> bool:
        replica = self.nodes[node]
        turn = replica.turn()
        self.replies.update(turn.replies)
        for to, message in turn.messages:
            if not self.cut & {node, to}:
                self.nodes[to].receive(node, message)
        if turn.job is not None:
            self._write(node, on_disk(turn.job.entries))
            replica.persisted(turn.job)
            self._say_room(node)
        return bool(turn.messages or turn.job)

    def _write(self, node: int, size: int) -> None:
        if node in self.room:
            self.room[node] -= size
            assert self.room[node] + self.relief >= 0, f"node {node} writes more than it has room"

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.now_ms += 100
            for replica in self.nodes.values():
                replica.tick()
            self.settle()
