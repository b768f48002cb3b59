"""When a node may give up the others for ever and go on alone (RAFT.RECOVER). Pure.

What the others have acknowledged is lost, and if they still are a majority there are two clusters
then. So it is the last resort, and only when three things hold at the moment of the decision:

1. This node leads nobody and hears no leader.
2. It has heard no majority for several election timeouts. In an ordinary election the voters hear
   each other all the time.
3. No majority answers when it is greeted again, just now. Who hears a leader that this node does
   not hear ignores its votes, but answers a greeting.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from counter_node.raft import quorum
from counter_node.raft.types import NONE, NodeId

if TYPE_CHECKING:
    from counter_node.raft.core import Raft

ELECTIONS = 5
"""Election timeouts without a majority."""


def why_not_alone(raft: Raft, reached: Collection[NodeId]) -> str:
    """Empty when this voter may go on alone, else the reason. `reached`: who answered a greeting
    just now."""
    if raft.leadership is not None or raft.leader != NONE:
        return "there is a leader, so a majority: nothing is to be recovered"
    silent, needed = raft.silent_ticks, ELECTIONS * raft.config.election_ticks
    if silent < needed:
        return (
            f"a majority was heard, or this node began, {silent} ticks ago; {needed} without "
            f"one are needed: wait for the election"
        )
    voters = len(raft.voters)
    answer = len(raft.voters & ({*reached, raft.id}))
    if answer >= quorum.majority(voters):
        return (
            f"{answer} of {voters} voters answer, which is a majority: nothing is to be recovered"
        )
    return ""
