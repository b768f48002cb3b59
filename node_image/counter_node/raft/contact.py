"""Whom a node that hears no leader has heard instead: whether the others are there, in ticks of its
own clock. Imports nothing but the arithmetic of majorities.

1. A majority counts as heard at the tick since which each of a majority of the voters, this node
   among them, was heard. A leader that is heard stands for a majority.
2. Only votes and their answers count. In an election each voter that is reached sends one or the
   other within an election timeout, so silence for several timeouts means that too few are there.
"""

from __future__ import annotations

from collections.abc import Collection

from counter_node.raft import quorum
from counter_node.raft.types import NodeId


class Contact:
    def __init__(self) -> None:
        self._now = 0
        self._led_at = 0
        self._heard_at: dict[NodeId, int] = {}

    def tick(self, *, led: bool) -> None:
        """`led`: this node leads or hears a leader."""
        self._now += 1
        if led:
            self._led_at = self._now

    def heard(self, node: NodeId) -> None:
        self._heard_at[node] = self._now

    def silent_ticks(self, voters: Collection[NodeId], me: NodeId) -> int:
        """For how long no majority was heard, or since this node began."""
        majority_at = quorum.acknowledged(voters, {**self._heard_at, me: self._now})
        return self._now - max(self._led_at, majority_at)
