"""Whether a node believes a peer that says "you were removed". Pure.

A removed node must not wait for ever for a leader that will never write to it again, and it must
say what it is. But the word of one peer is not enough: a peer that was left behind has an older
history, in which the node may never have been a member, or was removed by a decision that is void.
So the peer names the decision, the term and index of its entry, and the histories that led to its
own (counters/history.py). The node holds that against what it knows itself:

1. A peer whose history came out of this node's (RAFT.RECOVER gave up the others) decided for the
   whole earlier one: that is believed for good, by a leader too. A peer whose history did not come
   out of this node's, an older one or a strange one, decides nothing.
2. In the same history, or where histories are not known (before level 4): a decision of a later
   term than any that this node knows is believed. Others have gone on without it.
3. Else who leads or hears a leader is a member: leaders write to nobody else.
4. Else a decision counts if its index is not committed here yet, and its term is not older than
   what is. What is committed here, this node knows better.

A node that believes it campaigns no more and is not ready. It still votes and listens: when a
leader writes to it, it was no removal of this node, and is forgotten (but for rule 1)."""

from __future__ import annotations

from collections.abc import Sequence

from counter_node.raft.state import Role, State
from counter_node.raft.types import NONE, Removal


def is_later(mine: Sequence[str], theirs: Sequence[str]) -> bool:
    """Their history came out of this node's."""
    return bool(mine and theirs) and mine[-1] in theirs[:-1]


def why_not_believed(
    raft: State, mine: Sequence[str], removal: Removal | None, theirs: Sequence[str]
) -> str:
    """Empty when the removal is believed, else the reason. `mine` and `theirs`: ids of histories,
    the newest last."""
    if removal is None or removal.node != raft.id:
        return "it names no decision"
    if mine and theirs and mine[-1] not in theirs:
        return f"its history {theirs[-1]} did not come out of this node's, {mine[-1]}"
    if is_later(mine, theirs) or removal.term > raft.term:
        return ""
    if raft.role is Role.LEADER or raft.leader != NONE:
        return "a leader is heard, and leaders write to members only"
    log = raft.log
    if removal.index <= log.committed:
        return (
            f"entry {log.committed} is committed here, and the decision is said to be entry "
            f"{removal.index}"
        )
    if removal.term < log.term(log.committed):
        return (
            f"the decision is of term {removal.term}, and entry {log.committed} here of term "
            f"{log.term(log.committed)}"
        )
    return ""
