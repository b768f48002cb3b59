"""What nodes send each other on a link (links.py dials, peers.py is dialled): a greeting, its
answer, and then frames of messages.

    dialler:  Hello(cluster, me, you, my addresses)      →
              ←  Welcome()  or  Refusal(reason), then the end
    dialler:  frame, frame, …                              each = length, CRC-32C, one MessagePack
              list of messages

An empty frame asks for a sign of life, and is one."""

from __future__ import annotations

import struct

import msgspec
from crc32c import crc32c

from counter_node.raft.types import NodeId, Removal
from counter_node.replica.peer_messages import PeerMessage

HEADER = struct.Struct("<II")  # length, CRC-32C of the payload
MAX_FRAME_BYTES = 256 << 20
"""Taken from a member. Version 0.1.0 sent up to 64 MiB and put no limit on an entry: what is in an
old log must still be sent. Of this version, one entry is at most 16 MiB."""
FULL_FRAME_BYTES = 16 << 20
"""Messages of one turn share a frame until it is so long."""
MAX_HELLO_BYTES = 4 << 10
MAX_WELCOME_BYTES = 64 << 10
REMOVED = "removed"
"""The reason of a refusal that says so."""


class Hello(msgspec.Struct, array_like=True, frozen=True):
    cluster_id: str
    node_id: NodeId
    expects: NodeId
    name: str
    peer: str
    resp: str
    version: int = 1
    level: int = 1  # what this node knows (counters/levels.py)


class Welcome(msgspec.Struct, array_like=True, frozen=True):
    """Empty reason: welcome. Else why the dialler is refused. A dialler that was removed learns
    the decision, and the histories that led to the one in which it stands: raft/removal.py holds
    that against what the dialler knows."""

    reason: str = ""
    removal: Removal | None = None
    histories: tuple[str, ...] = ()
    answers: bool = False  # an empty frame is answered by one; not by version 0.1.0


_encoder = msgspec.msgpack.Encoder()
DECODER = msgspec.msgpack.Decoder(list[PeerMessage])
HELLO_DECODER = msgspec.msgpack.Decoder(Hello)
WELCOME_DECODER = msgspec.msgpack.Decoder(Welcome)


def frame(value: object) -> bytes:
    payload = _encoder.encode(value)
    return HEADER.pack(len(payload), crc32c(payload)) + payload


SIGN_OF_LIFE = frame([])


def frames(messages: list[PeerMessage]) -> list[bytes]:
    """In one frame if they fit, else each by itself."""
    whole = frame(messages)
    if len(whole) <= FULL_FRAME_BYTES or len(messages) == 1:
        return [whole]
    return [frame([message]) for message in messages]


class FrameError(Exception):
    pass


class Frames:
    """Cuts a stream of bytes into payloads. Raises FrameError on a length over the limit or a wrong
    checksum."""

    def __init__(self, limit: int = MAX_FRAME_BYTES) -> None:
        self.limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        buffer = self._buffer
        if not buffer and len(data) >= HEADER.size:
            length, crc = HEADER.unpack_from(data)
            if (
                length == len(data) - HEADER.size <= self.limit
                and crc32c(payload := data[HEADER.size :]) == crc
            ):
                return [payload]  # one whole frame, as nearly always
        buffer += data
        found: list[bytes] = []
        start = 0
        while len(buffer) - start >= HEADER.size:
            length, crc = HEADER.unpack_from(buffer, start)
            if length > self.limit:
                raise FrameError(f"frame of {length} bytes; at most {self.limit}")
            end = start + HEADER.size + length
            if len(buffer) < end:
                break
            payload = bytes(buffer[start + HEADER.size : end])
            if crc32c(payload) != crc:
                raise FrameError("checksum of a frame does not match")
            found.append(payload)
            start = end
        if start:
            del buffer[:start]
        return found
