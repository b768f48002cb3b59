"""One connection that shows replies as they are on the wire, without a client library's opinion; and a real Redis beside which a node can be held."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import hiredis

REDIS_START_S = 10.0


class Wire:
    """Errors come back as `("error", text)`, not raised: a reply like any other."""

    def __init__(self, port: int, resp: int = 2, timeout_s: float = 10.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
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


@contextlib.contextmanager
def redis_server(directory: Path) -> Iterator[int]:
    """A real redis-server on a free loopback port; yields the port."""
    program = shutil.which("redis-server")
    assert program, "redis-server is not installed (Debian: apt-get install redis-server)"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    words = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", os.fspath(directory)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + REDIS_START_S
        while True:
            with contextlib.suppress(OSError), Wire(port, timeout_s=1) as wire:
                if wire("PING") == "PONG":
                    break
            assert time.monotonic() < end, f"redis-server does not answer on port {port} after {REDIS_START_S:g} s"
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)
