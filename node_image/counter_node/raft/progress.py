"""What a leader knows of one other member, and how much it may send to it.

PROBE      one message at a time, until an answer shows where the logs agree
REPLICATE  `next` runs ahead of `match`; bounded by a window of messages and bytes
SNAPSHOT   one piece of a snapshot at a time; a lost one is sent again, from where the member says
           it stands
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence

from counter_node.raft.types import Entry, SnapshotMeta


class Pace(enum.Enum):
    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


class Progress:
    __slots__ = (
        "cut_off",
        "inflight",
        "inflight_bytes",
        "match",
        "next",
        "pace",
        "pending",
        "probed",
        "received",
        "recently_active",
        "sent_commit",
        "waited",
        "wants",
        "was_active",
    )

    def __init__(self, following: int) -> None:
        self.match = 0
        self.next = following
        self.pace = Pace.PROBE
        self.probed = False  # PROBE, SNAPSHOT: a message is out and unanswered
        self.pending: SnapshotMeta | None = None  # SNAPSHOT: which one
        self.received = 0  # SNAPSHOT: bytes that the member has of it
        self.inflight: deque[tuple[int, int]] = (
            deque()
        )  # REPLICATE: (last index, bytes) of each unanswered message
        self.inflight_bytes = 0
        self.waited = 0  # SNAPSHOT: heartbeats answered since the last piece was sent
        self.sent_commit = 0  # newest commit index sent to this member
        self.wants = 0  # the member waits for the commit index to reach this
        self.recently_active = False  # heard from since the last check of the quorum
        self.was_active = False  # heard from in the period before
        self.cut_off = False  # its link was lost, and it was not heard from since

    def probe(self) -> None:
        """Fall back to one message at a time, from right after what is known to match."""
        self.next = self.match + 1
        self.pace = Pace.PROBE
        self._reset()

    def replicate(self) -> None:
        self.next = self.match + 1
        self.pace = Pace.REPLICATE
        self._reset()

    def snapshot(self, meta: SnapshotMeta) -> None:
        self.pace = Pace.SNAPSHOT
        self._reset()
        self.pending = meta

    @property
    def active(self) -> bool:
        return self.recently_active or self.was_active

    def heard(self) -> None:
        self.recently_active, self.cut_off = True, False

    @property
    def lives(self) -> bool:
        """As far as anybody can tell: heard from within two election timeouts, and since its link
        was lost last."""
        return self.active and not self.cut_off

    @property
    def needs_after(self) -> int:
        """Entries after this index are what the member lacks, or will lack once its snapshot is
        there."""
        return self.match if self.pending is None else max(self.match, self.pending.index)

    def piece_received(self, index: int, offset: int) -> bool:
        """The member holds `offset` bytes of the snapshot at `index`; fewer than it had, if it was
        restarted. True: go on sending."""
        if self.pending is None or index != self.pending.index or offset == self.received:
            return False
        self.received, self.probed, self.waited = offset, False, 0
        return True

    def _reset(self) -> None:
        self.probed = False
        self.pending = None
        self.received = 0
        self.waited = 0
        self.inflight.clear()
        self.inflight_bytes = 0
        self.sent_commit = 0

    def may_send(self, max_messages: int, max_bytes: int) -> bool:
        if self.pace is Pace.REPLICATE:
            return len(self.inflight) < max_messages and self.inflight_bytes < max_bytes
        return self.pace is Pace.PROBE and not self.probed

    def sent(self, entries: Sequence[Entry]) -> None:
        if self.pace is Pace.PROBE:
            self.probed = True
        elif entries:
            size = sum([len(e.data) for e in entries])
            self.next = entries[-1].index + 1
            self.inflight.append((self.next - 1, size))
            self.inflight_bytes += size

    def acknowledged(self, index: int) -> bool:
        """The member has everything up to `index`. True when that is news."""
        while self.inflight and self.inflight[0][0] <= index:
            self.inflight_bytes -= self.inflight.popleft()[1]
        self.next = max(self.next, index + 1)
        if index <= self.match:
            return False
        self.match = index
        return True

    def rejected(self, index: int, retry_at: int) -> bool:
        """The member has nothing fitting at `index`. False when that is an old answer to an old
        question."""
        if self.pace is Pace.REPLICATE:
            if index <= self.match:
                return False
            self.probe()
            return True
        if self.pace is Pace.SNAPSHOT or index != self.next - 1:
            return False
        self.next = max(min(index, retry_at), self.match + 1)
        self.probed = False
        return True
