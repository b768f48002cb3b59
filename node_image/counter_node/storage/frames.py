"""Frames: how one turn's record stands in a segment, and how a torn frame differs from a damaged
one.

A frame is a 16-byte header, the payload, and 1 to 8 bytes of 0xFF so that the next frame begins at
a multiple of 8:

    offset  bytes
    0       4      length of the payload, little endian as all numbers; never 0. Zero here means
            "not yet written"
    4       4      check of the length: CRC-32C over it, seeded with the CRC of the frame before (0
            for a segment's first): the chain
    8       4      CRC-32C over bytes 0-7 and over bytes 12 to the frame's end
    12      1      kind: 1 segment header, 2 turn, 3 end of segment
    13      1      mask: the payload's bytes are stored XORed with this (below); usually 0
    14      2      0

Length and check share eight aligned bytes, so they are there together or not at all, and a changed
length is never believed: else a larger one could swallow the frames after it and pass for a torn
frame.

Rules, and why:

1. The next frame is written only after the previous one was synced. So only the last frame of the
   log can be torn.
2. A segment's size is durable, and its bytes are zero, before its first frame is written. A sector
   of 512 bytes is written wholly or not at all. So a sector that a torn frame is missing reads as
   zeros, and a frame never runs past the end of its file.
3. A whole frame has no all-zero sector: its first part holds the length, its last part the 0xFF,
   and a payload with 512 zeros in a row is stored under a mask that leaves none. So **an invalid
   frame is torn exactly when a sector of it is all zero and only zeros follow it**; every other
   invalid frame was changed after it was durable. No flipped bit can pass for a torn tail. (Bytes
   that follow a zero length, with nothing else in that sector, belong to a frame whose first sector
   is missing; its extent is then unknown, so no valid frame may begin anywhere after it.)

What no log can notice by itself: a disk that silently returns zeros for whole sectors at the very
end of the log."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from crc32c import crc32c

SECTOR_BYTES: Final = 512
ALIGN_BYTES: Final = 8
HEADER_BYTES: Final = 16
PAYLOAD_BYTES_MAX: Final = 1 << 30

_HEADER = struct.Struct("<IIIBBH")
_PADDING = [b"\xff" * (ALIGN_BYTES - (size % ALIGN_BYTES)) for size in range(ALIGN_BYTES)]
_ZERO_SECTOR = bytes(SECTOR_BYTES)
_MASKS = [bytes(byte ^ mask for byte in range(256)) for mask in range(256)]


class Kind(enum.IntEnum):
    SEGMENT = 1
    TURN = 2
    END = 3


class Ending(enum.Enum):
    """How the written part of a segment ends."""

    CLEAN = "clean"  # nothing but zeros follow
    CLOSED = "closed"  # an END frame and nothing but zeros follow
    TORN = "torn"  # a frame whose write was cut off by a crash; never acknowledged
    DAMAGED = "damaged"  # anything else


class Frame(NamedTuple):
    offset: int
    size: int  # bytes in the file, header and padding included
    kind: Kind
    crc: int
    payload: bytes


class Scan(NamedTuple):
    """What a segment's bytes hold: its valid frames, and how they end."""

    frames: list[Frame]
    ending: Ending
    offset: int  # where the valid frames end
    detail: str  # for TORN and DAMAGED: what was found


def seal(buffer: bytearray, kind: Kind, previous_crc: int) -> int:
    """Turns HEADER_BYTES of room followed by a payload into a frame, in place. Returns its CRC."""
    length = len(buffer) - HEADER_BYTES
    if not 0 < length <= PAYLOAD_BYTES_MAX:
        raise ValueError(f"a frame of {length} bytes; at most {PAYLOAD_BYTES_MAX}")
    mask = 0
    if length >= SECTOR_BYTES and _ZERO_SECTOR in buffer:
        mask = _choose_mask(buffer)
        buffer[HEADER_BYTES:] = buffer[HEADER_BYTES:].translate(_MASKS[mask])
    buffer += _PADDING[length % ALIGN_BYTES]
    _HEADER.pack_into(buffer, 0, length, 0, 0, kind, mask, 0)
    with memoryview(buffer) as view:
        view[4:8] = crc32c(view[:4], previous_crc).to_bytes(4, "little")
        crc: int = crc32c(view[12:], crc32c(view[:8]))
        view[8:12] = crc.to_bytes(4, "little")
    return crc


def _choose_mask(buffer: bytearray) -> int:
    """A byte whose 512-fold run is not in the buffer. A payload made to hold all 255 of them is
    left as it is (0): then, and only while it is the last frame, damage to it may be taken for a
    torn write."""
    return next((mask for mask in range(1, 256) if bytes([mask]) * SECTOR_BYTES not in buffer), 0)


def frame_bytes(length: int) -> int:
    """The size of a frame with a payload of `length` bytes."""
    return HEADER_BYTES + length + len(_PADDING[length % ALIGN_BYTES])


def scan(data: bytes) -> Scan:
    """Reads the frames of a segment up to the first that is not valid, and says what that one is.
    The chain is checked within the segment; how it goes on from the segment before stands in the
    segment header's record."""
    frames: list[Frame] = []
    offset = 0
    previous = 0
    while offset + HEADER_BYTES <= len(data):
        result = _frame_at(data, offset, previous)
        if isinstance(result, str):
            return Scan(frames, *_judge(data, offset, previous, result))
        frames.append(result)
        offset += result.size
        previous = result.crc
        if result.kind is Kind.END:
            return Scan(frames, *_after_end(data, offset))
    return Scan(frames, *_judge(data, offset, previous, "no room for another frame"))


def _frame_at(data: bytes, offset: int, previous_crc: int | None) -> Frame | str:
    """The valid frame at `offset`, or what is wrong with it. Without `previous_crc` the chain is
    not checked."""
    length, check, crc, kind, mask, _ = _HEADER.unpack_from(data, offset)
    if length == 0:
        return "length is 0"
    if (
        previous_crc is not None
        and (expected := _length_check(data, offset, previous_crc)) != check
    ):
        return (
            f"check of the length {length} is {check:08x}, expected {expected:08x} after a "
            f"frame with CRC-32C {previous_crc:08x}"
        )
    size = frame_bytes(length)
    if offset + size > len(data):
        return f"a frame of {size} bytes runs past the file's end at {len(data)}"
    with memoryview(data) as view:
        computed = crc32c(view[offset + 12 : offset + size], crc32c(view[offset : offset + 8]))
    if computed != crc:
        return f"CRC-32C is {computed:08x}, expected {crc:08x}"
    if kind not in (Kind.SEGMENT, Kind.TURN, Kind.END):
        return f"frame of unknown kind {kind}"
    payload = data[offset + HEADER_BYTES : offset + HEADER_BYTES + length]
    return Frame(
        offset, size, Kind(kind), crc, payload.translate(_MASKS[mask]) if mask else payload
    )


def _length_check(data: bytes, offset: int, previous_crc: int) -> int:
    check: int = crc32c(data[offset : offset + 4], previous_crc)
    return check


def _judge(data: bytes, offset: int, previous_crc: int, found: str) -> tuple[Ending, int, str]:
    """Decides what the bytes from `offset` on are, given that no valid frame stands there (rule 3
    of this module)."""
    if _is_zero(data, offset, len(data)):
        return Ending.CLEAN, offset, ""
    if offset + HEADER_BYTES > len(data):
        return Ending.DAMAGED, offset, "bytes other than 0 after the last frame"
    length, check, *_ = _HEADER.unpack_from(data, offset)
    if length == 0:
        return _judge_lost_beginning(data, offset)
    end = offset + frame_bytes(length)
    if check != _length_check(data, offset, previous_crc) or end > len(data):
        return Ending.DAMAGED, offset, found
    if not any(_is_zero(data, start, stop) for start, stop in _sectors(offset, end)):
        return Ending.DAMAGED, offset, found
    if not _is_zero(data, end, len(data)):
        return Ending.DAMAGED, offset, f"{found}, and something was written after it"
    return Ending.TORN, offset, f"{found}, and part of the frame was never written"


def _judge_lost_beginning(data: bytes, offset: int) -> tuple[Ending, int, str]:
    """Zero length, yet something follows: the frame's first sector was lost, unless part of that
    sector is there or a whole frame follows, which could only have been written after this one was
    durable."""
    start, stop = next(_sectors(offset, len(data)))
    if not _is_zero(data, start, stop):
        return Ending.DAMAGED, offset, "length is 0 where a frame begins"
    for candidate in range(stop, len(data.rstrip(b"\0")), ALIGN_BYTES):
        if candidate + HEADER_BYTES <= len(data) and isinstance(
            _frame_at(data, candidate, None), Frame
        ):
            return (
                Ending.DAMAGED,
                offset,
                f"zeros, and a valid frame at offset {candidate} after them",
            )
    return Ending.TORN, offset, "the frame's beginning was never written"


def _after_end(data: bytes, offset: int) -> tuple[Ending, int, str]:
    if _is_zero(data, offset, len(data)):
        return Ending.CLOSED, offset, ""
    return Ending.DAMAGED, offset, "bytes other than 0 after the end of the segment"


def _sectors(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The parts of `start..end` that lie in different sectors."""
    while start < end:
        stop = min(end, (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
        yield start, stop
        start = stop


def _is_zero(data: bytes, start: int, end: int) -> bool:
    return data.count(0, start, end) == max(0, end - start)
