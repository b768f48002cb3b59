"""The exit codes of `python -m counter_node`, and what each of them asks for. The only place that
says so: docs/internals/node-interface.md repeats this table, and a test compares the two."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """Its text says what happened, and what is to be done."""

    text: str

    def __new__(cls, code: int, text: str) -> Exit:
        found = int.__new__(cls, code)
        found._value_ = code
        found.text = text
        return found

    STOPPED = 0, "SIGTERM or SIGINT; or `RAFT.RECOVER`, after which the node is to be started again"
    SETTINGS = (
        2,
        "cannot start: bad settings, a port in use, a bad certificate or ACL file, a data "
        "directory in use or of a newer format",
    )
    DAMAGED = (
        3,
        "durable data is missing or changed; nothing was written. The message names file, offset "
        "and remedy",
    )
    DISK = 4, "the disk failed, or was full, while the data directory was opened"
    TOO_OLD = 5, "this version is too old for its data: start a newer one"
    BUG = 70, "an error of the node's own, which only a start from the disk mends. Please report it"
