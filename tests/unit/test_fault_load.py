"""The load of the fault runs keeps the rules of the protocol, so that what it calls a violation is
one."""

from __future__ import annotations

from typing import Any

import hiredis
import pytest

from tests.faults import load
from tests.faults.load import History, Lane


class Wire:
    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []

    def write(self, data: bytes) -> None:
        reader = hiredis.Reader()
        reader.feed(data)
        while (command := reader.gets()) is not False:
            self.sent.append(command)

    def take(self) -> list[int]:
        """The sequences that were sent since the last call."""
        sent, self.sent = self.sent, []
        return [int(command[2]) for command in sent if command[0] == b"IDMP"]


def a_lane(window: int) -> tuple[Lane, Wire]:
    lane: Any = Lane([("127.0.0.1", 1)], 0, History("k"), window, lambda now: None, lambda: True)
    wire = Wire()
    lane.connection_made(wire)
    return lane, wire


def test_a_producer_is_made_known_before_more_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by a fault run: with a link cut at its beginning, sequence 1 got LOADING, and 9, which
    was sent later, was executed and refused."""
    monkeypatch.setattr(load, "READ_SHARE", 0.0)
    lane, wire = a_lane(16)
    assert wire.take() == [1]
    lane.data_received(b"-LOADING no leader known\r\n")
    lane._pause_until = 0.0
    lane._fill()
    assert wire.take() == [1], "again, and nothing else yet"
    lane.data_received(b":1\r\n")
    assert wire.take() == list(range(2, 18))
