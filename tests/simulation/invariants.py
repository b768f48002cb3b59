"""What must hold after every event, whatever the network, the disks and the clocks do (thesis figure 3.2, and ours for counting).

    election safety        at most one leader in a term
    log matching           the entry at a committed index is the same on every node that applies it
    leader completeness    a leader has every entry that was committed in an earlier term (one of an old term may be elected late, and lead nobody)
    state machine safety   equal applied index means equal state
    committed prefix       what was committed once stays as it was
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from counter_node.raft.types import Entry, NodeId

if TYPE_CHECKING:
    from tests.simulation.world import Node, World

CHECKSUM_EVERY = 16


class Broken(AssertionError):
    """An invariant does not hold; the message names it."""


class Invariants:
    def __init__(self, world: World) -> None:
        self._world = world
        self._leaders: dict[int, NodeId] = {}
        self._committed: dict[int, tuple[int, int]] = {}  # index → (term, hash of kind and data)
        self._checksums: dict[int, int] = {}
        self._committed_by: list[tuple[int, int]] = []  # (term, index): entries up to `index` were committed in `term` at the latest

    def applied(self, node: Node, entry: Entry) -> None:
        world = self._world
        what = (entry.term, hash((int(entry.kind), entry.data)))
        world.trace("applied", node.id, entry.index, entry.term)
        known = self._committed.setdefault(entry.index, what)
        if known != what:
            raise Broken(f"log matching: n{node.id} applies {what} at {entry.index}, another node applied {known}\n{world.state()}")
        assert node.replica is not None
        if not self._committed_by or entry.index > self._committed_by[-1][1]:
            self._committed_by.append((node.replica.raft.term, entry.index))
        if entry.index % CHECKSUM_EVERY == 0:
            checksum = node.replica.machine.checksum()
            if self._checksums.setdefault(entry.index, checksum) != checksum:
                raise Broken(f"state machine safety: n{node.id} has another state at {entry.index}\n{world.state()}")

    def after_turn(self, node: Node) -> None:
        replica = node.replica
        assert replica is not None
        raft = replica.raft
        if not replica.is_leader:
            return
        first = raft.term not in self._leaders
        leader = self._leaders.setdefault(raft.term, node.id)
        if leader != node.id:
            raise Broken(f"election safety: n{leader} and n{node.id} lead term {raft.term}\n{self._world.state()}")
        if first:
            self._world.trace("leader", node.id, raft.term)
            self._complete(node)

    def _complete(self, node: Node) -> None:
        assert node.replica is not None
        raft = node.replica.raft
        log = raft.log
        newest = max((index for term, index in self._committed_by if term < raft.term), default=0)
        if log.last_index < newest:
            raise Broken(f"leader completeness: n{node.id} ends at {log.last_index}, {newest} is committed\n{self._world.state()}")
        for index in range(log.offset + 1, newest + 1):
            if log.term(index) != self._committed[index][0]:
                raise Broken(f"leader completeness: n{node.id} has another entry at {index}, which is committed\n{self._world.state()}")
