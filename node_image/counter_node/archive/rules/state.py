"""The time of a snapshot, from its state's bytes: without making the state of them.

The bytes are an array (counters/dump.py). What is not needed is passed over as it stands, in C: a
million counters in some milliseconds.
"""

from __future__ import annotations

import msgspec

from counter_node.counters.history import Lineage


class _State(msgspec.Struct, array_like=True):
    """Field by field as in counters/restore.py, up to the last one that is needed."""

    format: int
    time_ms: int
    values: msgspec.Raw
    deadlines: msgspec.Raw
    sessions: msgspec.Raw
    producers: msgspec.Raw
    max_keys: msgspec.Raw = msgspec.Raw()
    watches: msgspec.Raw = msgspec.Raw()
    level: int = 1
    max_producers: msgspec.Raw = msgspec.Raw()
    calendar: tuple[int, bool, int, int, int] = (0, False, 0, 0, 0)
    since_gap: msgspec.Raw = msgspec.Raw()
    lineage: Lineage = ()


class StateFacts(msgspec.Struct, frozen=True):
    log_ms: int
    utc_ms: int
    lineage: Lineage


_decode = msgspec.msgpack.Decoder(_State).decode


def facts_of(state: bytes | memoryview) -> StateFacts:
    """Raises msgspec.DecodeError."""
    found = _decode(state)
    return StateFacts(found.time_ms, found.time_ms + found.calendar[0], found.lineage)
