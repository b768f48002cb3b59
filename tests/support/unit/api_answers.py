"""What aiohttp would hand over of an answer of the API server, as far as the operator reads it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any


class Answer:
    """`pieces`: of its text; they may have no end."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self.read, self.closed = 0, False

    @classmethod
    def of(cls, found: Any) -> Answer:
        return cls([json.dumps(found).encode()])

    @property
    def content(self) -> Answer:
        return self

    async def iter_any(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            assert not self.closed, "it is read on although it was closed"
            self.read += len(piece)
            yield piece

    def close(self) -> None:
        self.closed = True
