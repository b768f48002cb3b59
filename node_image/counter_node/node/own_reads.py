"""Linearizable reads of the node itself: that one is answered tells that this node has executed all
that was acknowledged before it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from counter_node.counters import ops as o
from counter_node.counters.replies import Failure

OPS: list[Any] = [[o.EXISTS, [b""]]]


class Questions:
    def __init__(self, submit: Callable[[object, list[Any]], None]) -> None:
        self._submit = submit
        self.open: set[asyncio.Future[bool]] = set()

    async def confirm(self) -> bool:
        """False when no leader confirmed it in time."""
        token: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.open.add(token)
        self._submit(token, OPS)
        return await token

    def take(self, answers: list[tuple[Any, list[Any]]]) -> list[tuple[Any, list[Any]]]:
        """Takes the answers to its own questions out of those of a turn; the others are the
        clients'."""
        others = []
        for token, replies in answers:
            if isinstance(token, asyncio.Future):
                self.open.discard(token)
                if not token.done():  # else nobody waits any more
                    token.set_result(not isinstance(replies[0], Failure))
            else:
                others.append((token, replies))
        return others
