"""What the frames of the log carry: MessagePack arrays, one record type per kind of frame.

A field added at the end with a default keeps old files readable; anything else is a new FORMAT.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ..raft.types import Entry, HardState, SnapshotMeta
from .frames import HEADER_BYTES, Kind, seal

MAGIC: Final = "CounterCluster log"
FORMAT: Final = 1


class SegmentHeader(msgspec.Struct, array_like=True, frozen=True):
    """First record of each segment: whose log this is and everything in force at its beginning, so
    that all older segments can go."""

    magic: str
    format: int
    cluster_id: str
    node_id: int
    sequence: int
    hard_state: HardState
    snapshot: SnapshotMeta | None
    last_index: int  # the log's end when this segment began
    last_term: int
    previous_crc: int  # of the last frame of the segment before: the chain; 0 in segment 1


class Turn(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """All that one turn of the node made durable, applied in the order snapshot, hard state,
    entries."""

    hard_state: HardState | None = None
    entries: Sequence[Entry] = ()
    snapshot: SnapshotMeta | None = None  # from here on in force; its file was saved before
    restart: bool = (
        False  # the log does not contain the snapshot's position: it starts again after it
    )


class SegmentEnd(msgspec.Struct, array_like=True, frozen=True):
    """Last record of each segment but the newest. Without it, a lost newest segment could not be
    noticed."""

    next_sequence: int


Record = SegmentHeader | Turn | SegmentEnd

_encoder = msgspec.msgpack.Encoder()
_header_decoder = msgspec.msgpack.Decoder(SegmentHeader)
_turn_decoder = msgspec.msgpack.Decoder(Turn)
_end_decoder = msgspec.msgpack.Decoder(SegmentEnd)


def encode(
    record: Record, kind: Kind, previous_crc: int, buffer: bytearray | None = None
) -> tuple[bytearray, int]:
    """The frame of a record, and its CRC. A buffer that is handed in is reused, which saves the
    allocation on the hot path."""
    buffer = bytearray() if buffer is None else buffer
    _encoder.encode_into(record, buffer, HEADER_BYTES)
    return buffer, seal(buffer, kind, previous_crc)


def decode(kind: Kind, payload: bytes) -> Record:
    """Raises msgspec.DecodeError, ValidationError included."""
    match kind:
        case Kind.SEGMENT:
            return _header_decoder.decode(payload)
        case Kind.TURN:
            return _turn_decoder.decode(payload)
        case Kind.END:
            return _end_decoder.decode(payload)
