"""A TCP proxy on loopback between clients and nodes: it stands for the Service of a cluster, and it
cuts connections at an exact byte.

Connections go to the first port of `ports()` that can be reached, as a Service sends them to a pod
that is ready. `cuts` says for each connection, in the order in which they are made, where it ends;
None and the end of the list: never. `lose_replies` ends every connection that there is now when its
node sends the next byte, which nobody hears. `lose_requests` does the same with the next byte of
its client, which the node does not hear. A cut is a reset on both sides, with nothing sent that
lies behind it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from tests.support.loops import LoopThread


@dataclass(frozen=True)
class Cut:
    """Exactly so many bytes get through in that direction, then the connection ends. `to_client=0`:
    the node has answered, and nobody hears it."""

    to_node: int | None = None
    to_client: int | None = None


class Proxy:
    def __init__(self, ports: Callable[[], Iterable[int]], cuts: Iterable[Cut | None] = ()) -> None:
        self._ports = ports
        self._cuts: Iterator[Cut | None] = iter(cuts)
        self._runs = LoopThread()
        self._loop = self._runs.loop
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._tasks: set[asyncio.Task[None]] = set()
        self._doomed = self._deaf = 0
        self.port = int(self._listener.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}"
        self.made = 0
        self.cut = 0

    def __enter__(self) -> Self:
        self._runs.start()
        self._runs.begin(self._serve())
        return self

    def __exit__(self, *_: object) -> None:
        self._runs.end()
        self._listener.close()

    def lose_replies(self) -> None:
        self._doomed = self.made

    def lose_requests(self) -> None:
        self._deaf = self.made

    async def _serve(self) -> None:
        self._listener.setblocking(False)
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            self.made += 1
            task = self._loop.create_task(
                self._connection(self.made, client, next(self._cuts, None))
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connection(self, number: int, client: socket.socket, cut: Cut | None) -> None:
        node = await self._reach()
        if node is None:
            _reset(client)
            return
        for end in (client, node):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        cut = cut or Cut()
        ways = [
            self._loop.create_task(
                self._pump(client, node, cut.to_node, lambda: number <= self._deaf)
            ),
            self._loop.create_task(
                self._pump(node, client, cut.to_client, lambda: number <= self._doomed)
            ),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            _reset(client)
            _reset(node)

    async def _reach(self) -> socket.socket | None:
        for port in self._ports():
            node = socket.socket()
            node.setblocking(False)
            try:
                async with asyncio.timeout(10):
                    await self._loop.sock_connect(node, ("127.0.0.1", port))
            except OSError:
                node.close()
            else:
                return node
        return None

    async def _pump(
        self,
        source: socket.socket,
        sink: socket.socket,
        most: int | None,
        doomed: Callable[[], bool],
    ) -> None:
        """Ends with the connection, or at the cut. With nothing to let through it ends when the
        first byte comes; the same once `doomed`."""
        passed = 0
        with contextlib.suppress(OSError):
            while data := await self._loop.sock_recv(source, 65536):
                if doomed():
                    self.cut += 1
                    return
                allowed = data if most is None else data[: most - passed]
                if allowed:
                    await self._loop.sock_sendall(sink, allowed)
                passed += len(allowed)
                if passed == most:
                    self.cut += 1
                    return


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
