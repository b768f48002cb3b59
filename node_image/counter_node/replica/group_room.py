"""What a majority of the disks can still take: an entry that only the leader has room for would
stay in the way of everything behind it, FLUSHALL included. Pure.

A member with a full disk says in each answer to its leader what it can take (`DiskReport`), and a
leader appends what fits on its own disk and on those of a majority. It appends nothing of its
clients before a majority has answered it in its term, as it does not know before. A member that
lives and reports nothing has room; while another one's disk is full, one that does not answer has
none.

A gateway elsewhere hears of it when the leader finds no room for its batch (offers.py)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

import msgspec

from counter_node.raft import quorum
from counter_node.raft.core import Raft
from counter_node.raft.leadership import Leadership
from counter_node.raft.messages import AppendResponse, DiskReport, HeartbeatResponse
from counter_node.raft.types import NONE, NodeId
from counter_node.replica.disk_room import DiskRoom, body_on_disk, on_disk
from counter_node.replica.peer_messages import PeerMessage
from counter_node.replica.relief import Relief, relief_of

TICK_BYTES: Final = 128
"""On the disk, at most."""

_PLENTY = [sys.maxsize] * len(Relief)
_NOTHING = [0] * len(Relief)


class GroupRoom:
    def __init__(self, raft: Raft, own: DiskRoom, now: Callable[[], tuple[int, int]]) -> None:
        """`now`: log time and the calendar's, ms, as far as what is applied says."""
        self._raft, self._own, self.now = raft, own, now
        self._leadership: Leadership | None = None  # of which the next two are
        self._answered: set[NodeId] = set()
        self._known: Leadership | None = None  # of which `known` holds
        self._left: dict[NodeId, list[int]] = {}  # of full disks, for each Relief

    # --- what comes in ----------------------------------------------------------------------------

    def answered(self, sender: NodeId, report: DiskReport | None) -> None:
        """A leader's: a member's answer of this term. `report`: None when its disk is not full."""
        same = self._leadership is self._raft.leadership
        if report is None and same and not self._left and sender in self._answered:
            return  # as ever
        self._of_this_leadership()
        self._answered.add(sender)
        if report is None:
            self._left.pop(sender, None)
            return
        log = self._raft.log
        if report.last < log.offset:  # a snapshot comes first
            self._left[sender] = _NOTHING
            return
        sent = on_disk(log.entries[report.last - log.offset :])
        self._left[sender] = [max(0, room - sent) for room in report.room]

    def _of_this_leadership(self) -> None:
        if self._leadership is not self._raft.leadership:
            self._leadership = self._raft.leadership
            self._answered, self._left = {self._raft.id}, {}

    # --- what it says -----------------------------------------------------------------------------

    @property
    def known(self) -> bool:
        """A leader's: a majority has answered in its term."""
        if self._known is None or self._known is not self._raft.leadership:
            self._of_this_leadership()
            voters = self._raft.voters
            if len(self._answered & voters) < quorum.majority(len(voters)):
                return False
            self._known = self._leadership
        return True

    @property
    def full(self) -> bool:
        """Something may find no room, as far as this node knows."""
        return self._own.full or (bool(self._left) and self._of_majority() != _PLENTY)

    def add_reports(self, messages: list[tuple[NodeId, PeerMessage]]) -> None:
        """A member's with a full disk: its answers say what that can take."""
        report = DiskReport(self._raft.log.last_index, [self._own.of(each) for each in Relief])
        for at, (to, message) in enumerate(messages):
            if isinstance(message, AppendResponse | HeartbeatResponse):
                messages[at] = to, msgspec.structs.replace(message, disk=report)

    def of(self, relief: Relief) -> int:
        """Bytes for an entry that is of so much use."""
        own = self._own.of(relief)
        return min(own, self._of_majority()[relief]) if self._left else own

    def _of_majority(self) -> list[int]:
        self._of_this_leadership()
        if self._leadership is None:
            return _PLENTY
        voters, progress = self._raft.voters, self._leadership.progress
        rooms = [
            self._left.get(n, _PLENTY) if n == self._raft.id or progress[n].lives else _NOTHING
            for n in voters
        ]
        needed = quorum.majority(len(voters))
        return [sorted(each, reverse=True)[needed - 1] for each in zip(*rooms, strict=True)]

    def with_room(self) -> NodeId:
        """A leader's: the voter that is furthest along among those that live and whose disks are
        not full, or NONE."""
        self._of_this_leadership()
        leadership = self._leadership
        if leadership is None:
            return NONE
        others = (self._answered & self._raft.voters) - self._left.keys() - {self._raft.id}
        fit = [n for n in others if leadership.progress[n].lives]
        return max(fit, key=lambda n: (leadership.progress[n].match, n), default=NONE)

    def take(self, size: int) -> None:
        """An entry of so many bytes was appended by this leader."""
        self._own.take(size)
        for node, left in self._left.items():
            self._left[node] = [max(0, room - size) for room in left]

    def has_for(self, body: bytes) -> bool:
        """For the entry of this body. It is decoded only when it would not fit otherwise."""
        size = body_on_disk(body)
        return size <= self.of(Relief.NONE) or (
            size <= self.of(Relief.EMPTY) and size <= self.of(relief_of(body, *self.now()))
        )

    def has_for_tick(self) -> bool:
        """Ticks leave half of the relief to deletions: counters expire late rather than that
        nothing can be deleted after some hours of ticks."""
        return self.of(Relief.TICK) >= TICK_BYTES
