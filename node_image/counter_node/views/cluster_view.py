"""The cluster as clients in cluster mode are shown it.

While no leader is known the last one is still shown as the master, as Redis does: clients give up
on a map with slots that nobody has. But a node never shows itself so. One that led and is cut off
knows that it leads no more, and the others have elected another: what it says of itself keeps the
clients that ask it, or that ask nobody else for a minute. It shows another voter, and sends there
(`elsewhere`), which knows better.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol

from counter_node.raft.types import NONE, Member, NodeId
from counter_node.replica.replica import Replica
from counter_node.resp.topology import ClusterNode


class Link(Protocol):
    @property
    def reached(self) -> bool: ...


class Links(Protocol):
    def link(self, node: NodeId) -> Link | None: ...


class Shown(Protocol):
    """What the map is read from."""

    id: NodeId
    replica: Replica

    @property
    def peers(self) -> Links: ...


def long_id(node: NodeId) -> str:
    """Forty digits, as clients know the ids of Redis."""
    return f"{node:040x}"


class View:
    """Implements resp/topology.py: ClusterView."""

    def __init__(self, node: Shown, offset_of_port: int = 0) -> None:
        """`offset_of_port`: how far the port that is shown is from the clients' port, on every node
        alike."""
        self._node = node
        self._last_leader = NONE
        self._offset_of_port = offset_of_port

    def leads(self) -> bool:
        return self._node.replica.is_leader

    def leader(self) -> tuple[str, int] | None:
        raft = self._node.replica.raft
        member = raft.membership.get(raft.leader)
        return None if member is None else self._address(member)

    def elsewhere(self) -> tuple[str, int] | None:
        if self._node.replica.raft.leader != NONE or self._last_leader != self._node.id:
            return None
        other = self._master(self._voters())
        return None if other is None else self._address(other)

    def look(self) -> None:
        """Who leads now is remembered."""
        if (leader := self._node.replica.raft.leader) != NONE:
            self._last_leader = leader

    def me(self) -> str:
        return long_id(self._node.id)

    def term(self) -> int:
        return self._node.replica.raft.term

    def nodes(self) -> Sequence[ClusterNode]:
        self.look()
        voters = self._voters()
        master = self._master(voters)
        shown = voters if master is None else [master, *(m for m in voters if m is not master)]
        return [
            ClusterNode(
                long_id(m.id),
                *self._address(m),
                m is shown[0],
                self._reached(m.id),
                self._offset(m.id),
            )
            for m in shown
        ]

    def all_keys(self, most: int) -> Sequence[bytes]:
        """At most so many."""
        return list(itertools.islice(self._node.replica.machine.values, most))

    def _voters(self) -> list[Member]:
        return sorted(
            (m for m in self._node.replica.raft.membership.members if m.voter), key=lambda m: m.name
        )

    def _master(self, voters: list[Member]) -> Member | None:
        """The leader; or the last one; or another than this node, of those that it does not reach
        if there are such: they are the majority."""
        me, leader = self._node.id, self._node.replica.raft.leader
        last = next(
            (m for m in voters if m.id == (leader if leader != NONE else self._last_leader)), None
        )
        if last is not None and (leader != NONE or last.id != me):
            return last
        others = [m for m in voters if m.id != me]
        return min(others, key=lambda m: self._reached(m.id), default=None)

    def _address(self, member: Member) -> tuple[str, int]:
        host, _, port = member.resp.rpartition(":")
        return host, int(port) + self._offset_of_port

    def _reached(self, node: NodeId) -> bool:
        link = self._node.peers.link(node)
        return node == self._node.id or (link is not None and link.reached)

    def _offset(self, node: NodeId) -> int:
        raft = self._node.replica.raft
        if node == self._node.id or raft.leadership is None:
            return raft.log.committed
        return raft.leadership.progress[node].match
