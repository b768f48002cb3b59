"""When a link is silent, and what is to be done then. Pure: counts ticks.

A node sends to another on a connection of its own, on which nothing comes back by itself. Where
packets are dropped without a word, such a connection looks alive for as long as TCP repeats what it
sent, ever more slowly: after a minute of silence it says nothing for most of another minute, though
the network is whole again.

1. A link asks for a sign of life (an empty frame) twice in an election timeout, and gets one back.
   More often would be most of the work of an idle cluster, and later would leave a busy member too
   little time to answer.
2. One that heard nothing for an election timeout is dialled again beside the old one, again and
   again, and the first that is welcomed takes its place. So after a cut each link is whole within
   half an election timeout.
3. A member of an older version gives no sign of life. Its link is closed by TCP itself, see
   peers.py.
"""

from __future__ import annotations

from typing import NamedTuple


class Beat(NamedTuple):
    ask: bool  # for a sign of life
    dial: bool  # beside what there is


class Pulse:
    def __init__(self, election_ticks: int) -> None:
        self._silent_after = election_ticks
        self._ask_every = max(1, 2 * election_ticks // 5)
        self._dial_every = max(1, election_ticks // 2)
        self._ticks = 0  # since something was heard
        self._answers = True  # the other side gives signs of life

    def welcomed(self, *, answers: bool) -> None:
        """A new connection."""
        self._ticks, self._answers = 0, answers

    def heard(self) -> None:
        self._ticks = 0

    @property
    def silent(self) -> bool:
        return self._answers and self._ticks >= self._silent_after

    def tick(self) -> Beat:
        self._ticks += 1
        since = self._ticks - self._silent_after
        return Beat(
            self._answers and self._ticks % self._ask_every == 0,
            self.silent and since % self._dial_every == 0,
        )
