"""One connection that shows replies as they are on the wire, without a client library's opinion."""

from __future__ import annotations

import socket
import ssl
from typing import Any, Self

import hiredis


class Wire:
    """Errors come back as `("error", text)`, not raised: a reply like any other."""

    def __init__(
        self,
        port: int,
        resp: int = 2,
        timeout_s: float = 30.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """`context`: of TLS."""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        if context is not None:
            self._socket = context.wrap_socket(self._socket, server_hostname="localhost")
        self._reader = hiredis.Reader(encoding="utf-8", errors="surrogateescape")
        if resp != 2:
            self("HELLO", resp)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def __call__(self, *words: str | int | bytes) -> Any:
        self.send(*words)
        return self.read()

    def send(self, *words: str | int | bytes) -> None:
        self._socket.sendall(hiredis.pack_command(tuple(words)))  # type: ignore[arg-type]

    def send_bytes(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read(self) -> Any:
        """Raises ConnectionError when the other side closed, TimeoutError when nothing comes."""
        while (reply := self._reader.gets()) is False:  # not a reply: none of ours is RESP3's false
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("closed by the server")
            self._reader.feed(data)
        return _plain(reply)


def _plain(reply: Any) -> Any:
    if isinstance(reply, hiredis.ReplyError):
        return ("error", str(reply))
    if isinstance(reply, list):
        return [_plain(item) for item in reply]
    return reply
