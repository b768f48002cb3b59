"""A server of one counter per key that misbehaves at an exact moment: what the client meets once in a thousand failovers, on demand.

Only for these tests. Clients against real nodes: tests/clients.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

import hiredis

Fault = str
"""lose-request, lose-reply (the connection is cut before or after executing), late (the reply comes after `LATE_S` and the connection stays), or an
error line that is sent instead of executing."""
LATE_S = 0.4


class Late(bytes):
    """A reply that the client has given up waiting for."""


class CountingServer:
    """`faults` says what happens to the n-th write, from 0; afterwards all is well."""

    def __init__(self, *faults: Fault) -> None:
        self.values: dict[bytes, int] = {}
        self.executed: list[tuple[bytes, ...]] = []
        self.greetings: list[tuple[bytes, ...]] = []
        self.received: list[tuple[bytes, ...]] = []
        self.producers: dict[bytes, dict[int, int]] = {}
        self.shards = b"-ERR unknown command 'CLUSTER'\r\n"
        self.faults: Iterator[Fault] = iter(faults)
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        handler = _handler(self._execute, self._connections)
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"redis://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Nobody is connected any more, and nobody can connect."""
        self._server.shutdown()
        self._server.server_close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _execute(self, words: tuple[bytes, ...]) -> bytes | None:
        """The reply; None: the connection is cut."""
        with self._lock:
            if words[0] in (b"CLIENT", b"AUTH"):
                self.greetings.append(words)
                return b"+OK\r\n"
            if words[0] == b"CLUSTER":
                return self.shards
            self.received.append(words)
            if words[0] == b"MGET":
                values = [self.values.get(key) for key in words[1:]]
                return b"*%d\r\n" % len(values) + b"".join(b"$-1\r\n" if v is None else b"$%d\r\n%d\r\n" % (len(str(v)), v) for v in values)
            fault = next(self.faults, "")
            if fault == "lose-request":
                return None
            if fault and fault not in ("lose-reply", "late"):
                return b"-" + fault.encode() + b"\r\n"
            reply = self._idempotent(words) if words[0] == b"IDMP" else self._count(words)
            if fault == "late":
                return Late(reply)
            return None if fault == "lose-reply" else reply

    def _idempotent(self, words: tuple[bytes, ...]) -> bytes:
        producer, sequence = words[1], int(words[2])
        if producer not in self.producers and sequence != 1:
            return b"-IDMPEXPIRED unknown producer\r\n"
        known = self.producers.setdefault(producer, {})
        if sequence not in known:
            self._count(words[3:])
            known[sequence] = self.values[words[4]]
        return b":%d\r\n" % known[sequence]

    def _count(self, words: tuple[bytes, ...]) -> bytes:
        self.executed.append(words)
        delta = int(words[2]) * (-1 if words[0] == b"DECRBY" else 1)
        self.values[words[1]] = self.values.get(words[1], 0) + delta
        return b":%d\r\n" % self.values[words[1]]


def _handler(execute: Callable[[tuple[bytes, ...]], bytes | None], connections: list[socket.socket]) -> type[socketserver.BaseRequestHandler]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            connections.append(self.request)
            reader = hiredis.Reader()
            while data := self.request.recv(65536):
                reader.feed(data)
                while (words := reader.gets()) is not False:
                    reply = execute(tuple(words))
                    if reply is None:
                        return
                    if isinstance(reply, Late):
                        time.sleep(LATE_S)
                    with contextlib.suppress(OSError):
                        self.request.sendall(reply)

    return Handler
