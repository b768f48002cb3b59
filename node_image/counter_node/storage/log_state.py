"""Where the log stands: hard state, snapshot in force, position and terms, without the entries
themselves.

One class serves writing and recovery, so that what a frame means cannot differ between the two. It
also checks what Raft promises, before anything is written: indexes without gaps, terms that never
fall, one vote per term, nothing rewritten that a snapshot covers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from ..raft.types import NONE, Entry, HardState, SnapshotMeta
from .errors import InvariantError
from .records import Turn

_MILESTONE_BYTES = 64 << 10


class LogState:
    def __init__(
        self, hard_state: HardState, snapshot: SnapshotMeta | None, last_index: int, last_term: int
    ) -> None:
        self.hard_state = hard_state
        self.snapshot = snapshot
        self.last_index = last_index
        self.last_term = last_term
        # Terms as runs (first index, term): a handful, since a term changes only with the leader.
        # Ascending.
        self._runs = [(last_index, last_term)]
        # Which segment holds which live entries: (first index, segment sequence), ascending in
        # both.
        self._spans: list[tuple[int, int]] = []
        # For log_bytes: (last index, bytes written up to there), one per 64 KiB.
        self._milestones: list[tuple[int, int]] = []
        self._milestone_at = _MILESTONE_BYTES  # the next one, in bytes written
        self._bytes_written = 0
        self._bytes_at_snapshot = 0

    @property
    def log_bytes(self) -> int:
        """Bytes of frames since the snapshot's position, to 64 KiB."""
        return self._bytes_written - self._bytes_at_snapshot

    def restarts_after(self, snapshot: SnapshotMeta) -> bool:
        """Whether the log does not contain the snapshot's position, so that nothing in it may be
        kept."""
        return snapshot.index > self.last_index or self.term_at(snapshot.index) != snapshot.term

    def term_at(self, index: int) -> int | None:
        """The term of a live entry, None when it is not known (before the snapshot or after the
        end)."""
        if index >= self.last_index:
            return self.last_term if index == self.last_index else None
        run = bisect_right(self._runs, index, key=lambda run: run[0])
        return self._runs[run - 1][1] if run else None

    def oldest_segment_for(self, index: int) -> int | None:
        """The oldest segment with a live entry at `index` or later; None when there is none."""
        if index > self.last_index or not self._spans:
            return None
        span = bisect_right(self._spans, index, key=lambda span: span[0])
        return self._spans[max(span - 1, 0)][1]

    def apply(self, turn: Turn, segment: int, size: int) -> None:
        """Takes one turn in, written to `segment` as a frame of `size` bytes. InvariantError leaves
        everything as it was."""
        if turn.hard_state is not None:
            self._check_hard_state(turn.hard_state)
        if turn.snapshot is not None:
            self._check_snapshot(turn.snapshot, turn.restart)
        if turn.entries:
            self._check_entries(turn)
        if turn.snapshot is not None:
            self._take_snapshot(turn.snapshot, turn.restart)
        if turn.hard_state is not None:
            self.hard_state = turn.hard_state
        if turn.entries:
            self._take_entries(turn.entries, segment)
        self._bytes_written += size
        if self._bytes_written >= self._milestone_at:
            self._milestones.append((self.last_index, self._bytes_written))
            self._milestone_at = self._bytes_written + _MILESTONE_BYTES

    def forget_segments_before(self, sequence: int) -> None:
        self._spans = [span for span in self._spans if span[1] >= sequence]

    def _check_hard_state(self, new: HardState) -> None:
        old = self.hard_state
        if new.term < old.term:
            raise InvariantError(f"hard state of term {new.term} after one of term {old.term}")
        if new.term == old.term and old.vote not in (NONE, new.vote):
            raise InvariantError(
                f"vote for {new.vote:016x} in term {new.term}, already given to {old.vote:016x}"
            )

    def _check_snapshot(self, new: SnapshotMeta, restart: bool) -> None:
        old = self.snapshot
        if old is not None and (
            new.index < old.index
            or new.term < old.term
            or (new.index == old.index and new.term != old.term)
        ):
            raise InvariantError(
                f"snapshot {new.index} of term {new.term} after {old.index} of term {old.term}"
            )
        if new.index > self.last_index and not restart:
            raise InvariantError(f"snapshot {new.index} is beyond the log's end {self.last_index}")

    def _check_entries(self, turn: Turn) -> None:
        """Entries come after the turn's snapshot, so they are checked against the state that it
        leaves behind."""
        covered, last_index = (self.snapshot.index if self.snapshot else 0), self.last_index
        if turn.snapshot is not None:
            covered = turn.snapshot.index
            last_index = covered if turn.restart else last_index
        first = turn.entries[0].index
        if not covered < first <= last_index + 1:
            raise InvariantError(f"entry {first}; expected one in {covered + 1}..{last_index + 1}")
        if turn.snapshot is not None and (turn.restart or first == covered + 1):
            term = turn.snapshot.term
        elif first == self.last_index + 1:
            term = self.last_term
        else:
            term = self.term_at(first - 1) or 0
        limit = (turn.hard_state or self.hard_state).term
        for expected, entry in enumerate(turn.entries, first):
            if entry.index != expected:
                raise InvariantError(f"entry {entry.index} where {expected} is due")
            if not term <= entry.term <= limit:
                raise InvariantError(
                    f"entry {entry.index} of term {entry.term}; expected {term}..{limit}"
                )
            term = entry.term

    def _take_snapshot(self, snapshot: SnapshotMeta, restart: bool) -> None:
        self.snapshot = snapshot
        if restart:
            self.last_index, self.last_term = snapshot.index, snapshot.term
            self._spans.clear()
        keep = bisect_right(self._runs, snapshot.index, key=lambda run: run[0])
        self._runs = [(snapshot.index, snapshot.term), *([] if restart else self._runs[keep:])]
        passed = bisect_right(self._milestones, snapshot.index, key=lambda milestone: milestone[0])
        if restart:
            self._bytes_at_snapshot = self._bytes_written
            self._milestones.clear()
            self._milestone_at = self._bytes_written + _MILESTONE_BYTES
        elif passed:
            self._bytes_at_snapshot = self._milestones[passed - 1][1]
            del self._milestones[: passed - 1]

    def _take_entries(self, entries: Sequence[Entry], segment: int) -> None:
        first = entries[0].index
        if first <= self.last_index:
            self._truncate(first)
        term = self._runs[-1][1]
        for entry in entries:
            if entry.term != term:
                term = entry.term
                self._runs.append((entry.index, term))
        self.last_index, self.last_term = entries[-1].index, term
        if not self._spans or self._spans[-1][1] != segment:
            self._spans.append((first, segment))

    def _truncate(self, first: int) -> None:
        """Forgets the entries from `first` on."""
        while self._runs and self._runs[-1][0] >= first:
            self._runs.pop()
        while self._spans and self._spans[-1][0] >= first:
            self._spans.pop()
        while self._milestones and self._milestones[-1][0] >= first:
            self._milestones.pop()
        if not self._runs:
            # Truncated back to before the oldest segment that is still here, where terms are no
            # longer known.
            self._runs = [(first - 1, 0)]
