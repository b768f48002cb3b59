"""A node without Raft for the tests of client connections: it answers bundles when, and in whatever
order, the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from counter_node.counters.ops import EVAL
from counter_node.counters.replies import Failure
from counter_node.net.clients import ClientServer
from counter_node.net.connection import ClientConnection
from counter_node.node.node import Node
from counter_node.resp.commands import CATALOGUE
from counter_node.security.refusals import Refusals
from counter_node.users.access import Access
from counter_node.views.metrics import Metrics

SCRIPT_REPLIES: list[Callable[[int], Any]] = [
    lambda number: [number, b"%d" % number],
    lambda number: number,
    lambda number: [number, None],
    lambda number: [number] * 300,
    lambda number: [],
    lambda number: [number, [b"%d" % number]],
    lambda number: Failure(b"ERR %d" % number),
]


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.reading = True
        self.closing = False
        self.unsent = 0

    def get_extra_info(self, name: str) -> tuple[str, int] | None:
        return ("127.0.0.1", 1) if name.endswith("name") else None

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        self.closing = True

    abort = close


class MadeUpNode:
    """Answers each command by the number at the end of its key, so that a reply tells which command
    it is for."""

    def __init__(self, max_pipeline: int = 10_000, max_pipeline_bytes: int = 8 << 20) -> None:
        of_one = {
            "max_pipeline": max_pipeline,
            "max_pipeline_bytes": max_pipeline_bytes,
            "max_reply_bytes": 1 << 25,
        }
        limits = {**of_one, "max_clients": 10_000, "max_gathered": 100_000}
        self.settings = SimpleNamespace(
            **limits, cluster_port=0, resp_port=0, unready_close_s=0, client_bytes=0
        )
        self.memory_bytes = 0
        self.bundles: list[tuple[str, Any, list[Any]]] = []
        self.replica = SimpleNamespace(
            submit_write=lambda token, ops, mixed=False: self.bundles.append(
                ("write", token, list(ops))
            ),
            submit_read=lambda token, ops: self.bundles.append(("read", token, list(ops))),
            gateway=SimpleNamespace(writes=[], reads=[]),
        )
        self.metrics = Metrics(cast(Node, self))
        self.refusals = Refusals()
        self.access, self.tls = Access(None, CATALOGUE, self.refusals), None
        self.clients = ClientServer(cast(Node, self), 10_000)
        self.woken = self.hurried = 0
        self.executed: list[bytes] = []

    def spawn(self, work: Any) -> None:
        raise AssertionError("nothing here runs beside")

    def wake(self) -> None:
        self.woken += 1

    def turn_now(self) -> None:
        self.hurried += 1
        self.turn()

    def connect(self) -> tuple[ClientConnection, Wire]:
        connection, wire = self.clients.client(), Wire()
        connection.connection_made(cast(asyncio.Transport, wire))
        connection.data_received(b"*1\r\n$4\r\nPING\r\n")
        wire.written = b""
        return connection, wire

    def turn(self) -> None:
        self.clients.lane.submit()

    def answer(self, which: int = 0, reply: Any = None) -> None:
        _, token, ops = self.bundles.pop(which)
        self.clients.deliver(
            [(token, [reply if reply is not None else self.execute(op) for op in ops])]
        )
        self.clients.turns._round()  # what waited for that answer

    def execute(self, op: Any) -> Any:
        script = not isinstance(op, bytes) and op[0] == EVAL
        key = op if isinstance(op, bytes) else op[3][0] if script else op[1]
        self.executed.append(key)
        number = int(key.rpartition(b":")[2])
        if script:
            return SCRIPT_REPLIES[number % len(SCRIPT_REPLIES)](number)
        return number if isinstance(op, bytes) or op[0] == 1 else b"%d" % number


def request(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(
        b"$%d\r\n%s\r\n" % (len(word), word) for word in words
    )


def run(test: Any) -> None:
    async def inside() -> None:
        test()

    asyncio.run(inside())
