"""A few Raft cores joined by a network that does what the test says; storage is instant. For tests
of the core alone."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
from counter_node.raft.core import Raft
from counter_node.raft.messages import InstallSnapshot, Message
from counter_node.raft.state import Config
from counter_node.raft.types import (
    EntryKind,
    HardState,
    Member,
    Membership,
    MembershipChange,
    NodeId,
    SnapshotMeta,
)


def membership(voters: int, learners: int = 0) -> Membership:
    total = voters + learners
    return Membership(
        tuple(Member(i, f"n{i}", f"n{i}:1", f"n{i}:2", i <= voters) for i in range(1, total + 1))
    )


class Network:
    def __init__(self, voters: int = 3, learners: int = 0, **config: int) -> None:
        self.random = random.Random(1)
        start = SnapshotMeta(1, 1, membership(voters, learners))
        self.nodes: dict[NodeId, Raft] = {
            m.id: Raft(Config(m.id, **config), HardState(1, 0, 1), start, [], self.random.randint)
            for m in start.membership.members
        }
        self.applied: dict[NodeId, list[bytes]] = {n: [] for n in self.nodes}
        self.drop: Callable[[NodeId, NodeId, Message], bool] = lambda sender, to, message: False
        self.sent: list[tuple[NodeId, NodeId, Message]] = []

    def settle(self) -> None:
        """Persist, deliver and apply until nothing is left to do."""
        for _ in range(1_000):
            moved = False
            for node in self.nodes.values():
                moved |= self._persist(node) | self._apply(node)
                for to, message in node.take_messages():
                    moved = True
                    self._deliver(node.id, to, message)
            if not moved:
                return
        raise AssertionError("the network does not come to rest")

    def _persist(self, node: Raft) -> bool:
        if node.arrived is not None:
            node.adopt(node.arrived)
        persist = node.take_persist()
        if persist is None:
            return False
        for to, message in persist.after:
            if to == node.id:
                node.step(to, message)
            else:
                self._deliver(node.id, to, message)
        return True

    def _apply(self, node: Raft) -> bool:
        node.take_restore()
        entries = node.take_committed(1 << 20)
        for entry in entries:
            if entry.kind is EntryKind.CONFIG:
                node.apply_change(
                    msgspec.msgpack.decode(entry.data, type=MembershipChange),
                    entry.term,
                    entry.index,
                )
            elif entry.kind is EntryKind.DATA:
                self.applied[node.id].append(entry.data)
            node.applied_to(entry.index)
        return bool(entries)

    def _deliver(self, sender: NodeId, to: NodeId, message: Message) -> None:
        self.sent.append((sender, to, message))
        if to in self.nodes and not self.drop(sender, to, message):
            if isinstance(message, InstallSnapshot):
                message = msgspec.structs.replace(message, data=b"state", last=True)
            self.nodes[to].step(sender, message)

    def tick(self, times: int = 1, *only: NodeId) -> None:
        for _ in range(times):
            for node in self.nodes.values():
                if not only or node.id in only:
                    node.tick()
            self.settle()

    def elect(self, node: NodeId) -> Raft:
        self.nodes[node].campaign()
        self.settle()
        assert self.nodes[node].leadership is not None, f"n{node} did not win"
        return self.nodes[node]

    def isolate(self, *island: NodeId) -> None:
        self.drop = lambda sender, to, message: (sender in island) != (to in island)

    def heal(self) -> None:
        self.drop = lambda sender, to, message: False

    def leaders(self) -> list[NodeId]:
        return [n.id for n in self.nodes.values() if n.leadership is not None]
