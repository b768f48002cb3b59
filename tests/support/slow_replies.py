"""A proxy in front of a node: what the node answers to increments comes so much later. The
handshake and all else is not delayed.

Clients of a cluster ask for the nodes' addresses and dial those: the node's port is replaced by the
proxy's in all that it answers, which has as many digits."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

from tests.support.loops import LoopThread

HOST = "127.0.0.1"


class SlowReplies:
    def __init__(self, port: int, delay_s: float, *, advertised: int = 0) -> None:
        """`advertised`: the port that is replaced, if it is another one."""
        self._target, self._delay_s = port, delay_s
        self._advertised = str(advertised or port).encode()
        self._runs = LoopThread()
        self.port = 0

    def __enter__(self) -> Self:
        self._runs.start()
        self._server = self._runs.begin(self._listen()).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._runs.loop.call_soon_threadsafe(self._server.close)
        self._runs.end()

    async def _listen(self) -> asyncio.Server:
        while True:
            server = await asyncio.start_server(self._serve, HOST, 0)
            port = server.sockets[0].getsockname()[1]
            if len(str(port)) == len(self._advertised):
                self.port = port
                return server
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream: asyncio.StreamWriter | None = None
        counts = asyncio.Event()
        try:
            back, upstream = await asyncio.open_connection(HOST, self._target)
            ways = [
                asyncio.ensure_future(self._requests(reader, upstream, counts)),
                asyncio.ensure_future(self._answers(back, writer, counts)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
        except OSError:
            pass
        finally:
            for end in (writer, upstream):
                if end is not None:
                    end.transport.abort()

    async def _requests(
        self, reader: asyncio.StreamReader, node: asyncio.StreamWriter, counts: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if b"INCR" in data.upper():
                    counts.set()
                node.write(data)

    async def _answers(
        self, node: asyncio.StreamReader, writer: asyncio.StreamWriter, counts: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await node.read(1 << 16):
                if counts.is_set():
                    await asyncio.sleep(self._delay_s)
                writer.write(data.replace(self._advertised, str(self.port).encode()))
