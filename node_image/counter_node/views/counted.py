"""What is counted of a node's client connections, for INFO and for the metrics."""

from __future__ import annotations

from typing import Protocol


class Counted(Protocol):
    refused: int
    cut: int
    most: int

    @property
    def count(self) -> int: ...

    @property
    def commands(self) -> int: ...
