"""Whether the user whose command is being executed may have more (accounts.py, rule 3). Asked
before anything changes."""

from __future__ import annotations

from counter_node.counters import weights
from counter_node.counters.replies import Failure
from counter_node.counters.state import State


def over(state: State, key: bytes, old: int | None, *, expiry: bool) -> Failure | None:
    """Why the actor may not have this key as a counter, or with an expiry, if so."""
    actor = state.actor
    assert actor is not None
    more = state.new_bytes(1, len(key)) if old is None else 0
    mine = old is None or state.accounts.owners.get(key) == actor.number
    if expiry and mine and key not in state.deadlines:
        more += weights.DEADLINE
    return refused(state, int(old is None), more)


def refused(state: State, keys: int, size_bytes: int) -> Failure | None:
    """Why the actor may not have so much more, if so. What is due makes room first."""
    actor = state.actor
    assert actor is not None
    while limit := actor.passes(keys, size_bytes):
        if not state.backlog or not state.clear_away():
            return actor.refusal(limit)
    return None
