"""What is answered, to one connection's wire: so much at once that others have their turn, and no
more than its client reads."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from counter_node.fast.lanes import Wire
from counter_node.resp.pipeline import Pipeline

WRITE_BYTES = 64 << 10
FLUSH_BYTES = 256 << 10
"""Made into bytes and written before others have their turn."""
FLUSH_PIECES: Final = 4
"""The same of a long answer: a thousand values each, or more bytes of fewer."""
UNREAD_BYTES = 1 << 20
"""With so much unread no further reply is made into bytes."""
UNREAD: Final = "client does not read"
"""A reason not to go on with a pipeline, nor to write."""
ALL, MORE, STOPPED = "ALL", "MORE", "STOPPED"


def write_ready(
    pipeline: Pipeline[Any], wire: Wire, transport: asyncio.Transport, most: int
) -> str:
    """About `most` bytes now (0: `FLUSH_BYTES`, or `FLUSH_PIECES` of a long answer). ALL is
    written; or MORE, in the connection's next turn; or STOPPED: the rest when the client has read,
    or never."""
    replies = pipeline.replies
    parts: list[bytes] = []
    size = written = pieces = 0
    while replies.ready:
        if written >= (most or FLUSH_BYTES):
            return MORE
        part = replies.next_bytes()
        parts.append(part)
        size += len(part)
        pieces += replies.in_pieces
        late = not most and pieces >= FLUSH_PIECES  # small values take long for their bytes
        if size >= WRITE_BYTES or late:
            if not wire.write(b"".join(parts)):
                return STOPPED
            written += size
            parts, size = [], 0
            if UNREAD in pipeline.reasons:
                return STOPPED
            if (late and replies.ready) or transport.get_write_buffer_size() > UNREAD_BYTES:
                return MORE
    if parts and not wire.write(parts[0] if len(parts) == 1 else b"".join(parts)):
        return STOPPED
    return ALL
