"""A server of one counter per key that misbehaves at an exact moment: what the client meets once in
a thousand failovers, on demand.

Only for these tests. Clients against real nodes: tests/clients.

Nothing here waits for a time: a late reply is withheld until the test lets it go. So what a test
sees does not depend on how busy the machine is, as long as its client is patient (`PATIENT`)."""

from __future__ import annotations

import contextlib
import functools
import socket
import socketserver
import threading
from collections.abc import Iterator
from typing import Any, Self

import hiredis
import pytest
from countercluster import Counters

from tests.support.faces import Threaded

Fault = str
"""lose-request, lose-reply (the connection is cut before or after executing), late (the reply is
withheld and the connection stays), forge N (it is executed, and N is added to the value as if
others had done it), or an error line that is sent instead of executing."""
BOUND_S = 60.0
PATIENT: dict[str, Any] = {"deadline_s": 100.0, "attempt_s": BOUND_S, "connect_s": BOUND_S}
"""An attempt ends by what the server does. A busy machine ends none."""
PATIENT_FACES = pytest.mark.parametrize(
    "face",
    [functools.partial(Counters, **PATIENT), functools.partial(Threaded, **PATIENT)],
    ids=["blocking", "asyncio"],
)


_AROUND = (b"CLIENT", b"AUTH", b"CLUSTER")
"""Not among the requests that are counted."""


class Late(bytes):
    """A reply that is withheld."""


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
        self.withheld: list[threading.Event] = []
        self.settled = 0  # of those received: answered, cut off or withheld
        self._sent_late = 0
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        self._connections: list[socket.socket] = []
        handler = _handler(self, self._connections)
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"redis://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Nobody is connected any more, and nobody can connect."""
        self._server.shutdown()
        self._server.server_close()
        for reply in self.withheld:
            reply.set()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def settle(self, count: int) -> None:
        """Waits until so many requests are settled."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.settled >= count, BOUND_S), (
                f"{self.settled} of {count} requests came"
            )

    def release(self) -> None:
        """Sends every withheld reply, and waits until it was sent."""
        for reply in self.withheld:
            reply.set()
        with self._changed:
            assert self._changed.wait_for(lambda: self._sent_late >= len(self.withheld), BOUND_S), (
                "a late reply was not sent"
            )

    def deal(self, words: tuple[bytes, ...], connection: socket.socket) -> bool:
        """Executes a request and answers it. False: the connection is to be cut."""
        reply = self._execute(words)
        if isinstance(reply, Late):
            self._withhold(reply, connection)
            return True
        if reply is not None:
            with contextlib.suppress(OSError):
                connection.sendall(reply)
        if words[0] not in _AROUND:
            with self._changed:
                self.settled += 1
                self._changed.notify_all()
        return reply is not None

    def _withhold(self, reply: bytes, connection: socket.socket) -> None:
        let_go = threading.Event()
        with self._changed:
            self.withheld.append(let_go)
            self.settled += 1
            self._changed.notify_all()
        let_go.wait()
        with contextlib.suppress(OSError):
            connection.sendall(reply)
        with self._changed:
            self._sent_late += 1
            self._changed.notify_all()

    def _execute(self, words: tuple[bytes, ...]) -> bytes | None:
        """The reply; None: the connection is cut."""
        with self._lock:
            if words[0] == b"CLUSTER":
                return self.shards
            if words[0] in _AROUND:
                self.greetings.append(words)
                return b"+OK\r\n"
            self.received.append(words)
            if words[0] == b"MGET":
                values = [self.values.get(key) for key in words[1:]]
                return b"*%d\r\n" % len(values) + b"".join(
                    b"$-1\r\n" if v is None else b"$%d\r\n%d\r\n" % (len(str(v)), v) for v in values
                )
            fault = next(self.faults, "")
            if fault == "lose-request":
                return None
            if fault and fault not in ("lose-reply", "late") and not fault.startswith("forge "):
                return b"-" + fault.encode() + b"\r\n"
            reply = self._idempotent(words) if words[0] == b"IDMP" else self._count(words)
            if fault == "late":
                return Late(reply)
            if fault.startswith("forge "):
                self.values[words[4 if words[0] == b"IDMP" else 1]] += int(fault.split()[1])
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


def _handler(
    server: CountingServer, connections: list[socket.socket]
) -> type[socketserver.BaseRequestHandler]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            connections.append(self.request)
            reader = hiredis.Reader()
            while data := self.request.recv(65536):
                reader.feed(data)
                while (words := reader.gets()) is not False:
                    if not server.deal(tuple(words), self.request):
                        return

    return Handler
