"""Reads that a leader holds back: until log time is known after a full stop, and until what is due
is gone. What waits here when leadership ends is asked again by its gateway. Pure."""

from __future__ import annotations

from collections.abc import Callable

from counter_node.raft.core import Raft
from counter_node.replica.time_entries import TimeEntries

Ask = Callable[[], object]
"""How the read asks Raft for its index."""


class LateReads:
    def __init__(self, raft: Raft, time: TimeEntries) -> None:
        self._raft, self._time = raft, time
        self.held: list[tuple[int, Ask]] = []
        """With the term, until log time is known: no entry and no message wakes them."""
        self._late: list[tuple[int, int, Ask]] = []  # with term and index that each waits for

    @property
    def waiting(self) -> bool:
        return bool(self.held or self._late)

    def ask(self, ask: Ask) -> None:
        """At once where nothing is in its way. (Writes carry their time with them.)"""
        if self._raft.leadership is None:
            ask()
        elif self._time.unknown():
            self.held.append((self._raft.term, ask))
        elif (tick := self._time.tick_before_read()) is not None:
            self._late.append((*tick, ask))
        else:
            ask()

    def turn(self) -> None:
        """Asks those whose time has come."""
        if self.held:
            self._ask_held()
        if self._late:
            self._ask_late()

    def _ask_held(self) -> None:
        leads = self._raft.leadership is not None
        if leads and self._time.unknown():
            return
        held, self.held = self.held, []
        for term, ask in held:
            if leads and term == self._raft.term:
                self.ask(ask)

    def _ask_late(self) -> None:
        waiting, self._late = self._late, []
        for term, index, ask in waiting:
            if self._raft.leadership is None or term != self._raft.term:
                continue
            if index <= self._raft.log.applied:
                ask()
            else:
                self._late.append((term, index, ask))
