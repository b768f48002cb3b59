"""The cluster as clients in cluster mode are shown it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from counter_node.raft.types import NONE, Member, NodeId
from counter_node.resp.cluster import ClusterNode

if TYPE_CHECKING:
    from counter_node.node import Node


def long_id(node: NodeId) -> str:
    """Forty digits, as clients know the ids of Redis."""
    return f"{node:040x}"


class View:
    """Implements resp/cluster.py: ClusterView."""

    def __init__(self, node: Node, offset_of_port: int = 0) -> None:
        """`offset_of_port`: how far the port that is shown is from the clients' port, on every node alike."""
        self._node = node
        self._last_leader = NONE
        self._offset_of_port = offset_of_port

    def leads(self) -> bool:
        return self._node.replica.is_leader

    def leader(self) -> tuple[str, int] | None:
        raft = self._node.replica.raft
        member = raft.membership.get(raft.leader)
        return None if member is None else self._address(member)

    def me(self) -> str:
        return long_id(self._node.id)

    def term(self) -> int:
        return self._node.replica.raft.term

    def nodes(self) -> Sequence[ClusterNode]:
        """While no leader is known the last one is still shown as the master, as Redis does: clients give up on a map with slots that nobody has."""
        raft = self._node.replica.raft
        if raft.leader != NONE:
            self._last_leader = raft.leader
        voters = sorted((m for m in raft.membership.members if m.voter), key=lambda m: (m.id != self._last_leader, m.name))
        return [ClusterNode(long_id(m.id), *self._address(m), m is voters[0], self._connected(m.id), self._offset(m.id)) for m in voters]

    def all_keys(self, most: int) -> Sequence[bytes]:
        """At most so many."""
        return list(itertools.islice(self._node.replica.machine.values, most))

    def _address(self, member: Member) -> tuple[str, int]:
        host, _, port = member.resp.rpartition(":")
        return host, int(port) + self._offset_of_port

    def _connected(self, node: NodeId) -> bool:
        link = self._node.peers.link(node)
        return node == self._node.id or (link is not None and link.connected)

    def _offset(self, node: NodeId) -> int:
        raft = self._node.replica.raft
        if node == self._node.id or raft.leadership is None:
            return raft.log.committed
        return raft.leadership.progress[node].match
