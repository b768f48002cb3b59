"""The HTTP port: health for Kubernetes, metrics for Prometheus, the status for people. GET only,
one request a connection.

Health is answered at once. The other pages cost the loop milliseconds, and whoever reaches the port
may ask for them: they wait for their turn among the strangers (turns.py), and one that is asked for
too often is made once a second. Of more than `most` connections the oldest ends.

Written here because it is a hundred lines and a web framework would be the largest dependency of
the node."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import cast

from counter_node.logs import log
from counter_node.net.turns import Turns
from counter_node.security.refusals import Refusals

Page = Callable[[], tuple[HTTPStatus, str, bytes]]
"""Gives status, content type and body."""

MAX_REQUEST_BYTES = 8_192
PATIENCE_S = 5.0
AT_ONCE = frozenset({"/livez", "/readyz", "/startupz"})
BURST, EVERY_S = 10, 1.0
"""A page is made again so many times in a row, and then once in so long."""


class Pages:
    """The pages, and the connections that ask for them."""

    def __init__(
        self, pages: Mapping[str, Page], turns: Turns, refusals: Refusals, most: int
    ) -> None:
        self.by_path, self.turns = pages, turns
        self._refusals, self._most = refusals, most
        self._open: dict[HttpConnection, None] = {}  # oldest first
        self._made: dict[str, tuple[HTTPStatus, str, bytes]] = {}
        self._tokens: dict[str, float] = {}
        self._passed_s = time.monotonic()

    def connection(self) -> HttpConnection:
        return HttpConnection(self)

    def joined(self, connection: HttpConnection) -> None:
        self._open[connection] = None
        if len(self._open) > self._most:
            oldest = next(iter(self._open))
            self.left(oldest)
            oldest.cut()
            self._refusals.add("http_crowded")

    def left(self, connection: HttpConnection) -> None:
        self._open.pop(connection, None)

    def get(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        now = time.monotonic()
        passed, self._passed_s = now - self._passed_s, now
        self._tokens = {
            p: found for p, t in self._tokens.items() if (found := t - passed / EVERY_S) > 0
        }
        if path in self._made and self._tokens.get(path, 0.0) >= BURST:
            return self._made[path]
        made = self.by_path[path]()
        if path not in AT_ONCE:
            self._tokens[path] = self._tokens.get(path, 0.0) + 1
            self._made[path] = made
        return made


class HttpConnection(asyncio.Protocol):
    stranger = True

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._buffer = b""
        self._asked = False
        self._path = ""
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._transport = transport
        self._pages.joined(self)
        self._deadline = asyncio.get_running_loop().call_later(PATIENCE_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        if self._asked:
            return
        self._buffer += data
        if len(self._buffer) > MAX_REQUEST_BYTES:
            self._answer(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                "text/plain",
                b"request over 8192 bytes\n",
            )
        elif b"\r\n\r\n" in self._buffer or b"\n\n" in self._buffer:
            self._respond(self._buffer.split(b"\n", 1)[0])

    def _respond(self, request_line: bytes) -> None:
        words = request_line.split()
        if len(words) != 3 or words[0] not in (b"GET", b"HEAD"):
            self._answer(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"only GET\n")
            return
        self._asked, self._path = True, words[1].decode("latin-1").split("?", 1)[0]
        if self._path in AT_ONCE:
            self.work(0.0)
        elif self._path in self._pages.by_path:
            self._pages.turns.wait(self, stranger=True)
        else:
            self._answer(
                HTTPStatus.NOT_FOUND,
                "text/plain",
                ("pages: " + " ".join(sorted(self._pages.by_path)) + "\n").encode(),
            )

    def work(self, until_s: float) -> bool:
        """The page that was asked for. Its turn came."""
        if self._transport is None or self._transport.is_closing():
            return False
        try:
            self._answer(*self._pages.get(self._path))
        except Exception:
            log.exception("page failed", extra={"path": self._path})
            self._answer(
                HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", b"the page failed; see the log\n"
            )
        return False

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        assert self._transport is not None
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: "
            f"{kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self._asked = True
        without_body = self._buffer.startswith(b"HEAD")
        self._transport.write(head.encode() + (b"" if without_body else body))
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._pages.left(self)
        if self._deadline is not None:
            self._deadline.cancel()
