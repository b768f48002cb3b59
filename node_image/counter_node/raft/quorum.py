"""Majority arithmetic, as pure functions."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping

from counter_node.raft.types import NodeId


class VoteResult(enum.Enum):
    PENDING = "pending"
    WON = "won"
    LOST = "lost"


def majority(voters: int) -> int:
    """The smallest number of voters that any other majority must share one with."""
    return voters // 2 + 1


def vote_result(voters: Collection[NodeId], votes: Mapping[NodeId, bool]) -> VoteResult:
    """The outcome of an election so far. Votes of nodes that are not voters do not count."""
    granted = sum(1 for v in voters if votes.get(v) is True)
    refused = sum(1 for v in voters if votes.get(v) is False)
    need = majority(len(voters))
    if granted >= need:
        return VoteResult.WON
    if len(voters) - refused < need:
        return VoteResult.LOST
    return VoteResult.PENDING


def acknowledged(voters: Collection[NodeId], acks: Mapping[NodeId, int]) -> int:
    """The highest position that a majority of `voters` has reached; a voter absent from `acks` is
    at 0."""
    if not voters:
        return 0
    positions = sorted([acks.get(v, 0) for v in voters])
    return positions[-majority(len(positions))]
