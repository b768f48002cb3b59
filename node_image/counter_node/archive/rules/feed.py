"""What a member says of itself to an uploader: the answer of RAFT.ARCHIVE, JSON.

Entries and pieces of the snapshot follow by commands of their own (admin/feed.py), each answer
bounded, so that an uploader takes as much of a node's time as it asks for, and no more at once.
"""

from __future__ import annotations

import msgspec

from counter_node.counters.history import Lineage
from counter_node.raft.types import SnapshotMeta


class Feed(msgspec.Struct, frozen=True):
    """`applied`: the last entry that may be archived. `first`: of the entries that are still in the
    log. `snapshot`: the one in force."""

    cluster_id: str
    lineage: Lineage
    applied: int
    first: int
    snapshot: SnapshotMeta


encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Feed)


def decode(answer: bytes) -> Feed:
    """Raises msgspec.DecodeError."""
    return _decoder.decode(answer)
