"""Log time by this node's own running clock (CLOCK_BOOTTIME): it goes on while the machine sleeps,
and nobody sets it. The wall clock has no part in it.

    A leader stamps what its note says. A new leader goes on from its note. Nothing is renewed,
    nothing skipped.

The note is (log time, own running clock at that time). Everybody keeps one:

1. Whoever appends an entry of the leader's own term notes its stamp, and so does whoever hears its
   `ClockAsk`, once a second, also where that is less than the note said. So what was stamped binds
   every later leader: log time is never further than that stamp and the time since. It may be late
   by a message's way. Who appends what an earlier leader stamped gives up its note, until this one
   tells: how old the stamp is nobody knows, and the note may be of another line.
2. A restarted process has its note from the disk (storage/clock_note.py), as long as the machine
   was not booted meanwhile. Such a note is second to those of others.
3. A leader with no better note asks the others for theirs, for an election timeout at most. Until
   it has one, it stamps nothing.
4. If nobody has a note, the cluster stood still: there is a gap of unknown length. An entry, the
   mark, says so before anything else is stamped, and another closes it (timekeeper.py).
5. From a mark on, log time goes on from the mark alone: who appends it gives up the note from
   before, and so does who gets it in a snapshot. So an answer counts only from who has all that the
   leader has in its log.
6. Where the notes that were found differ, or a voter did not answer, the leader marks a gap too. It
   may be late by what it has not heard, and a note that says more must not be taken up later: that
   would make up for it within a moment, and counters would be gone early.

Below level 4 a stamp is the wall's time as ever, but kept within what the running clock says
(`_clamped`), so that no step of a clock is taken over while anybody keeps a note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

import msgspec

from counter_node.counters.batches import TIME_BYTES, Jump, decode, encode
from counter_node.counters.levels import TIME_LEVEL
from counter_node.raft.types import Entry, EntryKind, NodeId

UNKNOWN: Final = -1
LOWER_MS: Final = 20
APART_MS: Final = 250
"""Notes of one line are not further apart: by a message's way, and by how far clocks run apart
between two notes on the disk."""
EARLY_MS: Final = 1
LATE_MS: Final = 100
_JUMP: Final = encode(Jump(0, True))[:2]  # how its body begins
CLAMP: Final = 0.05
CLAMP_MS: Final = 1_000


class ClockAsk(msgspec.Struct, array_like=True, tag=30, frozen=True, gc=False):
    """The leader of `term` tells log time (UNKNOWN: it is looking for it) and asks for the other's
    clocks. `asked_us` is its running clock, and comes back with the answer. Since level 4."""

    term: int
    asked_us: int
    elapsed_ms: int
    jumped_ms: int


class ClockAnswer(msgspec.Struct, array_like=True, tag=31, frozen=True, gc=False):
    """`elapsed_ms`: log time by the sender's note as it was before the question; UNKNOWN without
    one. `rate_ppm`: how fast log time runs by the sender's running clock; 0: not known. `log_term`:
    of the last entry in its log. Since level 4."""

    asked_us: int
    wall_ms: int
    elapsed_ms: int
    rate_ppm: int
    log_term: int


class Note(msgspec.Struct, frozen=True):
    """At `running_ms` of the own running clock log time was `elapsed_ms`."""

    elapsed_ms: int
    running_ms: float


def is_mark(entry: Entry) -> bool:
    """Whether a gap begins there."""
    if (
        entry.kind is not EntryKind.DATA
        or entry.data[TIME_BYTES : TIME_BYTES + len(_JUMP)] != _JUMP
    ):
        return False
    body = decode(memoryview(entry.data)[TIME_BYTES:])
    return type(body) is Jump and body.gap


def holds(kept_at: int, snapshot: int, entries: Iterable[Entry]) -> bool:
    """Whether a note from the disk is of use: it was kept when the log ended with `kept_at`, and no
    gap began since, as far as the log and the index of its snapshot tell."""
    return snapshot <= kept_at and not any(
        entry.index > kept_at and is_mark(entry) for entry in entries
    )


def worth_keeping(kept: tuple[Note, int] | None, note: Note, last_index: int) -> bool:
    """Whether what is on the disk, with the last index in the log at that time, is to be replaced.
    Not while it says the same, or a little later, of the same log: an idle node need not write.
    Early is not allowed."""
    if kept is None or kept[1] != last_index:
        return True
    old = kept[0]
    further = (note.elapsed_ms - note.running_ms) - (old.elapsed_ms - old.running_ms)
    return not -EARLY_MS <= further <= LATE_MS


class Replicated(Protocol):
    """What is read of the replicated state."""

    @property
    def time_ms(self) -> int: ...

    @property
    def level(self) -> int: ...


class Clocks:
    """Of one machine. `wall_ms`: the wall's time. `running_ms`: a clock that nobody sets and that
    goes on while the machine sleeps; by default the same. `synchronised`: whether the kernel says
    that somebody keeps the wall's time right."""

    def __init__(
        self,
        wall_ms: Callable[[], int],
        running_ms: Callable[[], float] | None = None,
        synchronised: Callable[[], bool] = lambda: False,
    ) -> None:
        self.wall_ms = wall_ms
        self.running_ms = running_ms or wall_ms
        self.synchronised = synchronised


class LogTime:
    def __init__(
        self,
        wall_ms: Callable[[], int],
        running_ms: Callable[[], float],
        state: Callable[[], Replicated],
        note: Note | None = None,
        *,
        second: bool = False,
    ) -> None:
        """`note`: with which this process begins. `second`: it is one from the disk."""
        self.wall_ms, self.running_ms = wall_ms, running_ms
        self.note = note
        self.second = second
        self.lowered = False  # the note became less: the one on the disk is to be replaced soon
        self.searching = False  # a leader that asks the others for their notes
        self._state = state
        self._base: Note | None = None  # below level 4: the note with which the term began
        self._offered: dict[NodeId, Note] = {}

    # --- of everybody -----------------------------------------------------------------------------

    def forget(self) -> None:
        """The note is from before the mark of a gap."""
        self.note = None

    def now(self) -> int:
        """Log time, as far as this node knows. Never before that of the state."""
        floor = self._state().time_ms
        note = self.note
        if note is None:
            return floor
        running = self.running_ms()
        now = note.elapsed_ms + max(0, int(running - note.running_ms))
        if now < floor:
            self.note = Note(floor, running)
            return floor
        return now

    def heard(self, elapsed_ms: int) -> None:
        """A leader says, or stamped, what log time is."""
        if elapsed_ms + LOWER_MS < self.now():
            self.lowered = True
        self.note = Note(elapsed_ms, self.running_ms())
        self.second = False

    # --- of a leader ------------------------------------------------------------------------------

    def lead(self) -> None:
        """A term of one's own begins."""
        self._base = self.note
        self._offered = {}
        self.searching = (self.note is None or self.second) and self._state().level >= TIME_LEVEL

    def offered(self, sender: NodeId, answer: ClockAnswer) -> None:
        """A voter's note."""
        if self.searching and answer.elapsed_ms != UNKNOWN:
            self._offered[sender] = Note(answer.elapsed_ms, self.running_ms())

    def search_ends(self) -> bool:
        """Everybody has answered, or had time to. Of several notes the lower middle counts: late is
        allowed, early is not. Returns whether none of them, nor the own one, says more."""
        self.searching = False
        running = self.running_ms()

        def by_now(note: Note) -> int:
            return note.elapsed_ms + int(running - note.running_ms)

        own, known = self.note, sorted(map(by_now, self._offered.values()))
        if known:
            self.note = Note(known[(len(known) - 1) // 2], running)
        self.second = False
        most = max([*known, *([] if own is None else [by_now(own)])], default=UNKNOWN)
        return most - self.now() <= APART_MS

    def begin_again(self) -> None:
        """Nobody has a note."""
        self.note = Note(self._state().time_ms, self.running_ms())

    def stamp(self) -> int:
        """What a leader puts before an entry."""
        if self._state().level >= TIME_LEVEL:
            return self.now()
        stamp_ms = self._clamped()
        self.note = Note(stamp_ms, self.running_ms())
        return stamp_ms

    def _clamped(self) -> int:
        """The wall's time, between 0.95 and 1.05 of what the running clock says since the term
        began, and a second more. Without a note: the wall's."""
        running, floor = self.running_ms(), self._state().time_ms
        if self._base is None:
            self._base = Note(max(floor, self.wall_ms()), running)
        since = running - self._base.running_ms
        low = self._base.elapsed_ms + since * (1 - CLAMP)
        high = self._base.elapsed_ms + since * (1 + CLAMP) + CLAMP_MS
        return max(floor, int(min(max(self.wall_ms(), low), high)))
