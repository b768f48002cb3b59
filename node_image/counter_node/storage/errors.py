"""What can go wrong with a data directory, and who has to act.

Each message names the object, what was found, what was expected and the remedy, because it is read
by somebody whose node does not start. What the process does then: counter_node/exits.py, and
docs/internals/storage.md for a node that was running."""

from __future__ import annotations

REMEDY = (
    "Nothing was changed. Remove this member from the cluster, empty its data directory and let "
    "it join again: "
    "it then gets a new id. Never bring it back under its old id, it may have forgotten a vote."
)


class StorageError(Exception):
    """Base of all; on its own: the directory cannot be used by this process (locked, or of a newer
    format)."""


class DamagedError(StorageError):
    """Something durable is missing or changed. Never repaired silently."""

    def __init__(self, where: object, found: str) -> None:
        super().__init__(f"{where}: {found}. {REMEDY}")


class DiskFailedError(StorageError):
    """The first failed write or sync. Final: after a failed fsync the kernel may have dropped the
    data and forgotten the error, so a second attempt would "succeed" without having stored
    anything. Every later call raises the same error."""


class DiskFullError(StorageError):
    """No room for a snapshot, or for a segment that a large frame would begin. Nothing was changed
    and nothing is broken: the call may be repeated when there is room."""


class InvariantError(StorageError):
    """The caller asked for something that Raft never does (a gap, a falling term, a second vote).
    Nothing was written."""
