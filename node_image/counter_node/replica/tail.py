"""What stands in a leader's log already, so that it is not appended a second time. Pure.

A gateway sends its batch again when it has heard nothing for a while, and whenever the leader or
the link to it changed. The state machine executes a number once, however often it is in the log;
but each copy is as long as the batch, goes to every member and onto every disk.

1. A batch is known by its session and number, a registration by its nonce. (`batches.identity_of`;
   the leader looks at nothing else.)
2. One that was executed here, or stands in the log behind what was applied, is dropped. It is as if
   it had been appended: whoever sent it learns its fate from the log. An entry of a leader's own
   log is lost only together with its leadership.
3. A new leader looks through what it has not applied, its newest `LOOK_BACK` entries at most. Who
   is missed costs a copy and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from counter_node.counters.batches import TIME_BYTES, identity_of
from counter_node.raft.types import EntryKind

if TYPE_CHECKING:
    from counter_node.raft.core import Raft
    from counter_node.raft.leadership import Leadership

LOOK_BACK: Final = 10_000
PRUNE_AT: Final = 1_000


class Tail:
    def __init__(self) -> None:
        self._leadership: Leadership | None = None  # that `_found` is about
        self._found: dict[
            int, tuple[int, int]
            # session → number and index of its newest batch; of registrations minus nonce → 0 and
            # index
        ] = {}

    def index_of(
        self, raft: Raft, body: bytes, executed: Callable[[int], int | None]
    ) -> int | None:
        """Index up to which `body` is in the log of this leader; None when it is not. `executed`:
        session → newest number that was executed."""
        identity = identity_of(body)
        if identity is None:
            return None
        session, number = identity
        if session and number <= (executed(session) or 0):
            return raft.log.applied
        self._follow(raft)
        key, number = (session, number) if session else (-number, 0)
        newest, index = self._found.get(key, (-1, 0))
        return index if number <= newest and index > raft.log.applied else None

    def appended(self, raft: Raft, body: bytes) -> None:
        """`body` is the newest entry."""
        self._follow(raft)
        self._note(body, raft.log.last_index)
        if len(self._found) > PRUNE_AT:
            self._found = {
                key: (number, index)
                for key, (number, index) in self._found.items()
                if index > raft.log.applied
            }

    def _follow(self, raft: Raft) -> None:
        """Begins again with each leadership."""
        if raft.leadership is self._leadership:
            return
        self._leadership, self._found = raft.leadership, {}
        log = raft.log
        for entry in log.entries[max(log.applied - log.offset, len(log.entries) - LOOK_BACK) :]:
            if entry.kind is EntryKind.DATA:
                self._note(memoryview(entry.data)[TIME_BYTES:], entry.index)

    def _note(self, body: bytes | memoryview, index: int) -> None:
        identity = identity_of(body)
        if identity is not None:
            session, number = identity
            self._found[session or -number] = (number if session else 0, index)
