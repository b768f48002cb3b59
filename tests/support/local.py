"""A whole server in memory, for tests: parser, session, machine and encoder joined as a node joins
them, with a log that commits at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from counter_node.counters import batches
from counter_node.counters.machine import Machine
from counter_node.counters.replies import Failure, Fixed
from counter_node.resp.actions import Close, NodeQuestion, Read, Reply, Write
from counter_node.resp.called import operation
from counter_node.resp.dispatch import handle, new_session
from counter_node.resp.encode import encode
from counter_node.resp.parser import Parser, ProtocolError
from counter_node.resp.session import Session


def wall_clock_ms() -> int:
    return int(time.time() * 1000)


class LocalServer:
    def __init__(
        self, clock_ms: Callable[[], int] = wall_clock_ms, machine: Machine | None = None
    ) -> None:
        self.machine = machine or Machine()
        self.machine.operation = operation
        self._clock_ms = clock_ms
        self._index = 0
        self._number = 0
        self._session = self._append(batches.encode_open(1)).session
        self._connections = 0

    def connect(self, *, admin: bool = False) -> LocalConnection:
        self._connections += 1
        return LocalConnection(
            self, new_session(self._connections, "127.0.0.1:1", "127.0.0.1:2", admin=admin)
        )

    def _append(self, body: bytes) -> batches.Outcome:
        self._index += 1
        return self.machine.apply(
            self._index,
            batches.stamp(self._clock_ms(), body),
            lambda session, number: batches.ops_of(body),
        )

    def write(self, op: Any) -> Any:
        self._number += 1
        return self._append(batches.encode_batch(self._session, self._number, [op])).replies[0]

    def read(self, op: Any) -> Any:
        self._append(batches.encode_tick())
        return self.machine.read([op])[0]


class LocalConnection:
    def __init__(self, server: LocalServer, session: Session) -> None:
        self.server = server
        self.session = session
        self.closed = False
        self._parser = Parser()

    def send(self, data: bytes) -> bytes:
        """What a client would read."""
        try:
            commands, error = self._parser.feed(data), None
        except ProtocolError as found:
            commands, error = found.commands, found
        sent_back = b"".join([self.command(*words) for words in commands])
        if error is not None and not self.closed:
            self.closed = True
            sent_back += encode(Failure(str(error).encode("latin-1")), self.session.protocol)
        return sent_back

    def command(self, *words: bytes) -> bytes:
        if self.closed:
            return b""
        reply = self.ask(*words)
        return encode(reply, self.session.protocol)

    def ask(self, *words: bytes) -> Any:
        action = handle(self.session, list(words))
        if isinstance(action, Write):
            return self.server.write(action.op)
        if isinstance(action, Read):
            return self.server.read(action.op)
        if isinstance(action, NodeQuestion):
            return Failure(b"ERR only a node knows")
        assert isinstance(action, Reply | Close)
        self.closed = isinstance(action, Close)
        return action.value.value if isinstance(action.value, Fixed) else action.value
