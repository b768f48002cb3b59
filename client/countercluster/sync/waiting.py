"""What waiting is for threads. Its other half is aio/waiting.py."""

from __future__ import annotations

import threading
from time import sleep as sleep
from typing import Any

from redis.connection import Connection


class Places:
    """So many at the same time."""

    def __init__(self, count: int) -> None:
        self._free = threading.Semaphore(count)

    def take(self, timeout_s: float) -> bool:
        return self._free.acquire(timeout=timeout_s)

    def give(self) -> None:
        self._free.release()


def receive(connection: Connection, timeout_s: float) -> Any:
    """The next reply. Raises redis' TimeoutError."""
    return connection.read_response(timeout=timeout_s)


def drop(connection: Connection) -> None:
    connection.disconnect()
