"""What ends a node, as its version is too old for what it finds."""

from __future__ import annotations


class SnapshotFormatError(Exception):
    """The snapshot was written by a newer version."""


class UnknownOperationError(Exception):
    """The log holds an operation of a newer version. Going on without it would make this replica
    differ: the node must stop."""
