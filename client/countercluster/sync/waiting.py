"""What waiting is for threads. Its other half is aio/waiting.py."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Hashable, Iterator
from time import sleep as sleep
from typing import Any

from redis.connection import Connection

BOUNDED = True
"""Whether redis-py's `socket_timeout` bounds what is sent, and what is read outside of
`receive`."""


def owner() -> Hashable:
    """Whom connections belong to."""
    return os.getpid()


def gone(who: Hashable) -> bool:
    return who != os.getpid()


class Places:
    """So many at the same time."""

    def __init__(self, count: int) -> None:
        self._free = threading.Semaphore(count)

    def take(self, timeout_s: float) -> bool:
        return self._free.acquire(timeout=timeout_s)

    def give(self) -> None:
        self._free.release()


@contextlib.contextmanager
def limit(_timeout_s: float) -> Iterator[None]:
    """The socket has its own bound."""
    yield


def receive(connection: Connection, timeout_s: float) -> Any:
    """The next reply. Raises redis' TimeoutError."""
    return connection.read_response(timeout=timeout_s)


def drop(connection: Connection) -> None:
    connection.disconnect()
