"""The in-memory replicated log: what follows the newest compaction, and how far it is committed,
applied and handed to the disk.

    offset <= applied <= committed <= last_index          offset < unstable <= last_index + 1

Entries at or below `offset` live in a snapshot only. A snapshot may cover more than that: what
follows `offset` is kept for followers that are a little behind. Entries from `unstable` on were not
handed to the storage yet. The committed prefix never changes: truncating it is an assertion, not an
error."""

from __future__ import annotations

from collections.abc import Sequence

from counter_node.raft.types import Entry


class RaftLog:
    def __init__(
        self, covered: int, covered_term: int, entries: Sequence[Entry], committed: int
    ) -> None:
        """A snapshot covers everything up to `covered`. `entries` may begin before that; those that
        fit the snapshot are kept."""
        self.offset, self.offset_term = covered, covered_term
        behind = [e for e in entries if e.index <= covered]
        if behind and (behind[-1].index, behind[-1].term) == (covered, covered_term):
            self.offset, self.offset_term = behind[0].index, behind[0].term
        self.entries = [e for e in entries if e.index > self.offset]
        offset = self.offset
        for position, entry in enumerate(self.entries):
            assert entry.index == offset + 1 + position, (
                f"gap in the log: {entry.index} at place {offset + 1 + position}"
            )
        self.last_index = offset + len(self.entries)
        self.unstable = self.last_index + 1
        self.committed = min(max(committed, covered), self.last_index)
        self.applied = covered  # by the state machine
        self.handed = covered  # to the state machine, not necessarily applied yet

    @property
    def last_term(self) -> int:
        return self.entries[-1].term if self.entries else self.offset_term

    def term(self, index: int) -> int:
        """Term of the entry at `index`; 0 when the log does not know it (compacted, or not there
        yet)."""
        if index == self.offset:
            return self.offset_term
        if self.offset < index <= self.last_index:
            return self.entries[index - self.offset - 1].term
        return 0

    def matches(self, index: int, term: int) -> bool:
        if index == self.last_index > self.offset:  # what a leader sends nearly always
            return self.entries[-1].term == term
        return self.offset <= index <= self.last_index and self.term(index) == term

    def append(self, entries: Sequence[Entry]) -> None:
        """At the end. (`last_index` is kept, not computed, as a turn asks for it a dozen times.)"""
        self.entries.extend(entries)
        self.last_index += len(entries)

    def append_after(self, prev_index: int, entries: Sequence[Entry]) -> int:
        """Entries from a leader whose entry at `prev_index` matches; cuts a conflicting suffix.
        Returns the last index they cover."""
        last_new = prev_index + len(entries)
        for position, entry in enumerate(entries):
            assert entry.index == prev_index + 1 + position, (
                "entries of one message are not contiguous"
            )
            if entry.index <= self.last_index:
                if entry.index <= self.offset or self.term(entry.index) == entry.term:
                    continue
                self._truncate(entry.index)
            self.append(entries[position:])
            self.unstable = min(self.unstable, entry.index)
            break
        return last_new

    def _truncate(self, index: int) -> None:
        assert index > self.committed, (
            f"a committed entry ({index} <= {self.committed}) would be overwritten"
        )
        del self.entries[index - self.offset - 1 :]
        self.last_index = index - 1
        self.unstable = min(self.unstable, index)

    def find_conflict(self, index: int, term: int) -> tuple[int, int]:
        """The last (index, term) at or before `index` whose term is not above `term`: where two
        logs may agree at the latest."""
        index = min(index, self.last_index)
        while index > self.offset and self.term(index) > term:
            index -= 1
        return index, self.term(index)

    def slice(self, first: int, max_bytes: int) -> list[Entry]:
        """Entries from `first` on, at least one if there is one, up to about `max_bytes` of
        data."""
        if first == self.last_index:
            return self.entries[-1:]
        found: list[Entry] = []
        size = 0
        for position in range(first - self.offset - 1, len(self.entries)):
            entry = self.entries[position]
            size += len(entry.data) + 16
            if found and size > max_bytes:
                break
            found.append(entry)
        return found

    def commit_to(self, index: int) -> bool:
        """True when the commit index moved. It never falls and never passes the log's end."""
        index = min(index, self.last_index)
        if index <= self.committed:
            return False
        self.committed = index
        return True

    def take_committed(self, max_bytes: int) -> list[Entry]:
        if self.handed >= self.committed:
            return []
        found = self.slice(self.handed + 1, max_bytes)
        excess = found[-1].index - self.committed
        if excess > 0:
            del found[-excess:]
        self.handed = found[-1].index
        return found

    def take_unstable(self, max_bytes: int) -> list[Entry]:
        """The oldest that were not handed to the disk, at least one, up to about `max_bytes` of
        data."""
        found = self.entries[self.unstable - self.offset - 1 :]
        if len(found) > 1 and sum([len(e.data) for e in found]) > max_bytes:
            found = self.slice(self.unstable, max_bytes)
        self.unstable += len(found)
        return found

    def oldest_within(self, index: int, last: int, max_bytes: int) -> int:
        """`index`, or a later one if the entries after it up to `last` hold more than
        `max_bytes`."""
        size = 0
        for position in range(
            last - self.offset - 1, max(index, self.offset) - self.offset - 1, -1
        ):
            size += len(self.entries[position].data) + 16
            if size > max_bytes:
                return self.offset + 1 + position
        return index

    def compact(self, index: int) -> None:
        """Forget entries up to `index`; they are in a durable snapshot. Never beyond what was
        applied, nor what the disk has not got."""
        index = min(index, self.applied, self.unstable - 1)
        if index <= self.offset:
            return
        self.offset_term = self.term(index)
        del self.entries[: index - self.offset]
        self.offset = index

    def restore(self, index: int, term: int) -> None:
        """Start again right after an installed snapshot."""
        assert index > self.committed, "a snapshot older than what is committed would undo it"
        self.entries = []
        self.offset, self.offset_term = index, term
        self.unstable = index + 1
        self.last_index = self.committed = self.handed = self.applied = index
