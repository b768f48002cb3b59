"""The HTTP port: health for Kubernetes, metrics for Prometheus, the status for people. GET only, one request a connection, answered at once.

Written here because it is sixty lines and a web framework would be the largest dependency of the node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import cast

from counter_node.logs import log

Page = Callable[[], tuple[HTTPStatus, str, bytes]]
"""Gives status, content type and body."""

MAX_REQUEST_BYTES = 8_192
PATIENCE_S = 5.0


class HttpConnection(asyncio.Protocol):
    def __init__(self, pages: Mapping[str, Page]) -> None:
        self._pages = pages
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._transport = transport
        self._deadline = asyncio.get_running_loop().call_later(PATIENCE_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > MAX_REQUEST_BYTES:
            self._answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "text/plain", b"request over 8192 bytes\n")
        elif b"\r\n\r\n" in self._buffer or b"\n\n" in self._buffer:
            self._answer(*self._respond(self._buffer.split(b"\n", 1)[0]))

    def _respond(self, request_line: bytes) -> tuple[HTTPStatus, str, bytes]:
        words = request_line.split()
        if len(words) != 3 or words[0] not in (b"GET", b"HEAD"):
            return HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"only GET\n"
        path = words[1].decode("latin-1").split("?", 1)[0]
        page = self._pages.get(path)
        if page is None:
            return HTTPStatus.NOT_FOUND, "text/plain", ("pages: " + " ".join(sorted(self._pages)) + "\n").encode()
        try:
            return page()
        except Exception:
            log.exception("page failed", extra={"path": path})
            return HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", b"the page failed; see the log\n"

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        assert self._transport is not None
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        without_body = self._buffer.startswith(b"HEAD")
        self._transport.write(head.encode() + (b"" if without_body else body))
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
