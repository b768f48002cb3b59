"""A proxy in front of every node's peer port, so that each link can be cut in one direction only.

A node sends to another on the connection that it dialled itself (net/peers.py), and names itself in
the first frame. So the connection that a dialled to b *is* the direction a → b: a proxy in front of
b reads that first frame, knows who dials, and can let one dialler's bytes lie while another's pass.
A cut is silent (bytes are not passed on, the connection stays open, as when a switch drops packets)
or loud (the connection is closed, new ones too). When a silent cut ends, what it held is passed on
late, after as long again: so does TCP, which repeats what was dropped ever more slowly. Nodes are
not to wait for that."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from counter_node.net.frames import HEADER, Hello

HOST = "127.0.0.1"
LARGEST_HELLO = 64 << 10
LONGEST_BACK_OFF_S = 30.0
Link = tuple[int, int]
"""Numbers of two nodes: from, to."""


class Links:
    """Runs on a thread of its own. `index_of` turns a node id into its number, None while it is not
    known."""

    def __init__(self, targets: list[int], index_of: Callable[[int], int | None]) -> None:
        self._targets = targets
        self._index_of = index_of
        self.cut: dict[Link, bool] = {}  # → loud
        self.ports: list[int] = []
        self._open: set[tuple[Link, asyncio.StreamWriter]] = set()
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._do(self._listen())

    def stop(self) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def set_cut(self, cut: dict[Link, bool]) -> None:
        """These links are cut from now on, and no others."""
        self._do(self._set_cut(cut))

    def forget(self) -> None:
        """Closes all connections, so that they are dialled again."""
        self._do(self._forget())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        for number, target in enumerate(self._targets):
            server = await asyncio.start_server(
                lambda r, w, n=number, t=target: self._serve(r, w, n, t), HOST, 0
            )
            self._servers.append(server)
            self.ports.append(server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        await self._forget()

    async def _forget(self) -> None:
        for _, writer in list(self._open):
            writer.transport.abort()

    async def _set_cut(self, cut: dict[Link, bool]) -> None:
        self.cut = cut
        for link, writer in list(self._open):
            if cut.get(link):
                writer.transport.abort()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: int, port: int
    ) -> None:
        upstream: asyncio.StreamWriter | None = None
        try:
            head = await reader.readexactly(HEADER.size)
            length = min(HEADER.unpack(head)[0], LARGEST_HELLO)
            first = await reader.readexactly(length)
            sender = self._index_of(msgspec.msgpack.decode(first, type=Hello).node_id)
            link = (-1 if sender is None else sender, to)
            if self.cut.get(link):
                return
            while link in self.cut:
                await asyncio.sleep(0.02)
            back, upstream = await asyncio.open_connection(HOST, port)
            held = {(link, writer), (link, upstream)}
            self._open |= held
            try:
                upstream.write(head + first)
                await asyncio.wait(
                    [
                        asyncio.create_task(self._pass(reader, upstream, link)),
                        asyncio.create_task(self._pass(back, writer, link)),
                    ],
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                self._open -= held
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
            if upstream is not None:
                upstream.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link
    ) -> None:
        try:
            while data := await reader.read(1 << 18):
                if link in self.cut:
                    await self._back_off(link)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass

    async def _back_off(self, link: Link) -> None:
        began = self._loop.time()
        while link in self.cut:
            await asyncio.sleep(0.02)
        await asyncio.sleep(min(LONGEST_BACK_OFF_S, self._loop.time() - began))
