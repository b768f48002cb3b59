"""Increments by one of counters that exist: nearly all that is ever executed, so without a call for
each.

`increments` is here in Python, and compiled (`fast/increments.pyx`) where counter_node/compiled.py
says so. Both do the same, and the tests of the state machine run on both."""

from __future__ import annotations

from typing import Any

from counter_node.compiled import compiled
from counter_node.counters.batches import Op
from counter_node.counters.state import MAX, State


def increments(state: State, commands: list[Op], at: int, replies: list[Any] | None) -> int:
    """Executes `commands` from position `at` on until one is something else, and returns the
    position of that one. Replies are added to `replies`; None: nobody waits for them. While
    something is due and not removed, all go the long way, which looks at deadlines."""
    if state.backlog:
        return at
    values, dirty, careful = state.values, state.dirty, state.careful
    for position in range(at, len(commands)):
        op = commands[position]
        if type(op) is not bytes or (old := values.get(op)) is None or old >= MAX:
            return position
        if careful:
            state.changing(op)
        values[op] = new = old + 1
        if replies is not None:
            replies.append(new)
        if dirty is not None:
            dirty.add(op)
    return len(commands)


_fast = compiled("increments")
COMPILED = _fast is not None
if _fast is not None:
    increments = _fast.increments
