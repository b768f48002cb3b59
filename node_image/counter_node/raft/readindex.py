"""Linearizable reads without writing to the log (thesis 6.4), for all reads of a term in one queue.

Each read gets the next *position* in the leader's queue together with the commit index of that
moment. Heartbeats carry the newest position; a member that echoes position p has confirmed, after p
was given out, that it knows of no newer leader. When a majority has echoed p or more, every read up
to p is confirmed. Positions grow within a term and are never given out twice, and an answer of
another term is dropped at once, so an old answer cannot confirm a new read, however long the
leader or the network paused in between."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import NamedTuple

from counter_node.raft import quorum
from counter_node.raft.types import NodeId


class PendingRead(NamedTuple):
    position: int
    asker: NodeId
    id: int
    commit: int


class ReadQueue:
    def __init__(self, leader: NodeId) -> None:
        self._leader = leader
        self.position = 0
        self._pending: deque[PendingRead] = deque()
        self._echoed: dict[NodeId, int] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def new_round(self) -> int:
        """A position of its own for a round of heartbeats."""
        self.position += 1
        return self.position

    def add(self, asker: NodeId, read_id: int, commit: int) -> None:
        self.position += 1
        self._pending.append(PendingRead(self.position, asker, read_id, commit))

    def echoed(self, node: NodeId, position: int) -> None:
        if position > self._echoed.get(node, 0):
            self._echoed[node] = position

    def confirmed(self, voters: Collection[NodeId]) -> list[PendingRead]:
        """Removes and returns the reads that a majority has confirmed. The leader itself vouches
        for all."""
        self._echoed[self._leader] = self.position
        up_to = quorum.acknowledged(voters, self._echoed)
        done: list[PendingRead] = []
        while self._pending and self._pending[0].position <= up_to:
            done.append(self._pending.popleft())
        return done
