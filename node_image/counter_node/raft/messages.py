"""What nodes say to each other. One definition for the core, the simulator and the wire
(MessagePack arrays with an integer tag).

Every message carries the sender's term; the core (`Raft.step`) checks it
before anything else."""

from __future__ import annotations

from typing import Final

import msgspec

from counter_node.raft.types import Entry, SnapshotMeta


class VoteRequest(msgspec.Struct, array_like=True, tag=1, frozen=True, gc=False):
    """Thesis 3.4; with `pre` set, 9.6: "would you vote for me?", which binds nobody. `transfer`
    overrides the voter's lease (3.10)."""

    term: int
    pre: bool
    last_index: int
    last_term: int
    transfer: bool = False


class VoteResponse(msgspec.Struct, array_like=True, tag=2, frozen=True, gc=False):
    """A refusal tells the last entry that the sender knows to be committed: who asks may hold it
    without knowing that it is, and with it its removal of the very voter that refuses."""

    term: int
    pre: bool
    granted: bool
    commit: int = 0
    commit_term: int = 0


class Append(msgspec.Struct, array_like=True, tag=3, frozen=True, gc=False):
    """Thesis 3.5. Without entries it probes, or tells a new commit index."""

    term: int
    prev_index: int
    prev_term: int
    commit: int
    entries: list[Entry]


class DiskReport(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the sender's disk, which is full, can take after its entry `last`. The core hands it on;
    replica/group_room.py knows the uses that `room` is for, in bytes."""

    last: int
    room: list[int]


class AppendResponse(msgspec.Struct, array_like=True, tag=4, frozen=True, gc=False):
    """`ok`: the sender's log is durable and equal to the leader's up to `index`. Not `ok`: nothing
    at `index` fits; the sender suggests (`hint_index`, `hint_term`) as the next place to try."""

    term: int
    ok: bool
    index: int
    hint_index: int = 0
    hint_term: int = 0
    disk: DiskReport | None = None


class Heartbeat(msgspec.Struct, array_like=True, tag=5, frozen=True, gc=False):
    """`read` is the newest position in the leader's queue of reads; who echoes it confirms every
    read up to it (see readindex.py)."""

    term: int
    commit: int
    read: int


class HeartbeatResponse(msgspec.Struct, array_like=True, tag=6, frozen=True, gc=False):
    """`promise_ms`: for so long the sender votes for nobody else (lease.py); 0 where leases are
    off."""

    term: int
    read: int
    promise_ms: int = 0
    disk: DiskReport | None = None


class InstallSnapshot(msgspec.Struct, array_like=True, tag=7, frozen=True):
    """One piece of a snapshot (thesis 5.3), from byte `offset` of its state on. The core sends it
    without `data`; the sender's driver reads the piece from the file, and sets `last` on the one
    that ends it."""

    term: int
    meta: SnapshotMeta
    offset: int = 0
    data: bytes = b""
    last: bool = False


class SnapshotResponse(msgspec.Struct, array_like=True, tag=11, frozen=True, gc=False):
    """The sender holds the first `offset` bytes of the snapshot at `index`, in memory: the place to
    go on from. Once all of it is durable, an AppendResponse tells."""

    term: int
    index: int
    offset: int


class TimeoutNow(msgspec.Struct, array_like=True, tag=8, frozen=True, gc=False):
    """Leadership transfer (thesis 3.10): campaign now, without pre-vote."""

    term: int


class ReadRequest(msgspec.Struct, array_like=True, tag=9, frozen=True, gc=False):
    """A follower asks for a read index (thesis 6.4). `id` is the asker's, never used twice."""

    term: int
    id: int


class ReadResponse(msgspec.Struct, array_like=True, tag=10, frozen=True, gc=False):
    term: int
    id: int
    index: int


Message = (
    VoteRequest
    | VoteResponse
    | Append
    | AppendResponse
    | Heartbeat
    | HeartbeatResponse
    | InstallSnapshot
    | SnapshotResponse
    | TimeoutNow
    | ReadRequest
    | ReadResponse
)

OF_LEADER: Final = (Append, Heartbeat, InstallSnapshot)
"""What only a leader sends."""
