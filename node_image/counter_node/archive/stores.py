"""What the archive asks of a store: create an object once, read, list, delete.

1. Nothing is ever replaced. `create` fails where the name is taken, also against another program
   that does it at the same moment. Without that two uploaders could undo each other's work, so it
   is tried out before the first write (`probe`).
2. A create that failed may have been done: the answer was lost, or a request was repeated below.
   Whoever writes reads back, and compares.
3. Every call has an end in time, and raises a StoreError that says what to do.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Final, Protocol

from counter_node.archive.rules.errors import ArchiveError

PROBES: Final = "probe/"


class StoreError(ArchiveError):
    """The store did not do it, or it is not known whether it did. Trying again later is right."""


class ExistsError(StoreError):
    """The name is taken; perhaps by this very call."""


class AbsentError(StoreError):
    pass


class RefusedError(StoreError):
    """Credentials or rights; trying again helps only when somebody changes these."""


class UnconditionalStoreError(ArchiveError):
    """The store replaces an object where it was asked to create one."""


class Store(Protocol):
    where: str
    """For messages, without secrets."""

    def create(self, name: str, data: bytes) -> None:
        """Durable when it returns. Raises ExistsError."""

    def get(self, name: str) -> bytes:
        """Raises AbsentError."""

    def list(self, under: str = "") -> Iterator[tuple[str, int]]:
        """Names that begin with `under`, which ends with a slash or is empty; and sizes. In no
        order."""

    def delete(self, name: str) -> None:
        """Also of what is not there."""


def probe(store: Store) -> None:
    """Finds out whether the store keeps what it is given, and creates a name only once. Raises
    UnconditionalStoreError, StoreError."""
    name, first, second = PROBES + secrets.token_hex(8), secrets.token_bytes(64), b"second"
    store.create(name, first)
    try:
        store.create(name, second)
    except ExistsError:
        found = store.get(name)
    else:
        found = second
    store.delete(name)
    if found == second:
        raise UnconditionalStoreError(
            f"{store.where}: creates an object where one is already: it does not know conditional "
            f"writes (If-None-Match). Two uploaders could replace each other's objects there. Use "
            f"another store, or allow it and make sure that one member alone uploads"
        )
    if found != first:
        raise StoreError(f"{store.where}: gives back other bytes than it was given")
