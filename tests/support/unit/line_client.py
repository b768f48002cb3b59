"""A connection without a socket that takes a command as one line of text."""

from __future__ import annotations

from typing import Any

from tests.support.local import LocalConnection


class Client:
    """Words as text, for reading."""

    def __init__(self, connection: LocalConnection) -> None:
        self.connection = connection
        self.session = connection.session

    def __call__(self, line: str) -> Any:
        return self.connection.ask(*line.encode("latin-1").split(b" "))
