"""A linearizable read of the node itself: to the replica it is one more client connection with one command."""

from __future__ import annotations

import asyncio
from typing import Any

from counter_node.counters import ops as o
from counter_node.counters.replies import Failure

OPS: list[Any] = [[o.EXISTS, [b""]]]


class Question:
    """Is the token of its read, and that token's connection (see net/clients.py: deliver)."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.connection = self
        self.confirmed: asyncio.Future[bool] = loop.create_future()

    def answered(self, _: object, replies: list[Any]) -> None:
        if not self.confirmed.done():
            self.confirmed.set_result(not isinstance(replies[0], Failure))

    def flush(self) -> None:
        """Nobody waits for bytes."""
