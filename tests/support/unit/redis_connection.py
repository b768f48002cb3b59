"""One raw connection to a real redis-server: bytes out, the bytes of one reply back."""

from __future__ import annotations

import socket


def reply_end(data: bytes, at: int = 0) -> int | None:
    """Where the reply that begins at `at` ends; None when it is not complete. RESP2 and RESP3."""
    line_end = data.find(b"\r\n", at)
    if line_end < 0:
        return None
    kind, text, end = data[at : at + 1], data[at + 1 : line_end], line_end + 2
    if kind in b"+-:_#,(":
        return end
    count = int(text)
    if kind in b"$=!":
        end += max(0, count) + (2 if count >= 0 else 0)
        return end if len(data) >= end else None
    for _ in range(max(0, count) * (2 if kind == b"%" else 1)):
        following = reply_end(data, end)
        if following is None:
            return None
        end = following
    return end


class RealConnection:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._data = b""

    def close(self) -> None:
        self._socket.close()

    def command(self, *words: bytes) -> bytes:
        return self.send(
            b"*%d\r\n" % len(words)
            + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
        )

    def send(self, data: bytes) -> bytes:
        self._socket.sendall(data)
        while (end := reply_end(self._data)) is None:
            received = self._socket.recv(65_536)
            if not received:
                raise ConnectionError("redis-server closed the connection")
            self._data += received
        reply, self._data = self._data[:end], self._data[end:]
        return reply

    def send_until_closed(self, data: bytes) -> bytes:
        """Everything that comes until the server closes the connection."""
        self._socket.sendall(data)
        self._socket.shutdown(socket.SHUT_WR)
        while received := self._socket.recv(65_536):
            self._data += received
        return self._data
