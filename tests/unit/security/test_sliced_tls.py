"""TLS in slices: real connections on uvloop, and on asyncio's own loop, with turns that the test
gives."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import cast

import pytest
import uvloop
from counter_node.security import sliced_tls
from counter_node.security.listener import Listener
from counter_node.security.refusals import Refusals
from counter_node.security.sliced_tls import SlicedTls

from tests.support.certificates import Folder
from tests.support.devcluster import free_port_range

MOST_BYTES, AT_ONCE_BYTES = 8 << 10, 1 << 10
RECORD = 23
"""Bytes on the wire of a record that carries one."""
MANY = 3_000


class Taken(asyncio.Protocol):
    """What a connection brought, in order."""

    def __init__(self, stranger: bool) -> None:
        self.stranger = stranger
        self.bytes = b""
        self.ended = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.bytes += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True


class Turns:
    def __init__(self) -> None:
        self.waiting: list[tuple[SlicedTls, bool]] = []

    def wait(self, work: SlicedTls, *, stranger: bool) -> None:
        self.waiting.append((work, stranger))

    def give(self) -> None:
        work, _ = self.waiting.pop(0)
        assert work.work(0.0) is False


class Served:
    """A listener, and a client of it that is connected."""

    def __init__(self, folder: Folder, *, stranger: bool = True) -> None:
        self.folder, self.turns, self.taken = folder, Turns(), Taken(stranger)
        self.port = free_port_range(1)

    async def __aenter__(self) -> Served:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder.path / "node-0.crt", self.folder.path / "node-0.key")
        self.listener = Listener(
            lambda: self.taken,
            lambda: context,
            Refusals(),
            max_handshakes=10,
            handshake_s=20.0,
            turns=self.turns,
        )
        await self.listener.listen("127.0.0.1", self.port)
        self.client = await asyncio.to_thread(self._connected)
        await eventually(lambda: self.taken.transport is not None)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.client.close()
        self.listener.close()

    def _connected(self) -> ssl.SSLSocket:
        trusted = ssl.create_default_context(cafile=str(self.folder.path / "ca.crt"))
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return trusted.wrap_socket(plain, server_hostname="localhost")

    def records(self, count: int) -> bytes:
        """So many records of a byte each, sent; what they carried."""
        sent = bytes(n % 251 for n in range(count))
        for n in range(count):
            self.client.send(sent[n : n + 1])
        return sent


async def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("tls"), 1)


Work = Callable[[], Awaitable[None]]


@pytest.fixture(params=["uvloop", "asyncio"])
def on_loop(request: pytest.FixtureRequest) -> Callable[[Work], None]:
    def on_it(work: Work) -> None:
        async def run() -> None:
            await work()

        (uvloop.run if request.param == "uvloop" else asyncio.run)(run())

    return on_it


@pytest.mark.parametrize("stranger", [True, False])
def test_a_crowd_of_small_records_waits_for_turns_and_each_deciphers_a_slice(
    on_loop: Callable[[Work], None], folder: Folder, stranger: bool
) -> None:
    async def work() -> None:
        async with Served(folder, stranger=stranger) as served:
            # Sent while the loop stands still, so that they come together.
            sent = served.records(MANY)
            await eventually(lambda: len(served.turns.waiting) == 1)
            await asyncio.sleep(0.05)
            turns, before = 0, len(served.taken.bytes)
            assert before <= AT_ONCE_BYTES // RECORD + 1
            assert served.turns.waiting[0][1] is stranger
            while len(served.taken.bytes) < MANY:
                assert len(served.turns.waiting) == 1, "it is read from beside its turn"
                served.turns.give()
                turns += 1
                assert len(served.taken.bytes) - before <= MOST_BYTES // RECORD + 1
                seen = len(served.taken.bytes)
                await eventually(
                    lambda seen=seen: bool(
                        served.turns.waiting or len(served.taken.bytes) in (MANY, seen + 1)
                    )
                )
                before = len(served.taken.bytes)
            assert served.taken.bytes == sent
            assert turns >= MANY * (RECORD - 1) // MOST_BYTES

    on_loop(work)


def test_a_few_commands_are_deciphered_at_once(
    on_loop: Callable[[Work], None], folder: Folder
) -> None:
    async def work() -> None:
        async with Served(folder) as served:
            for n in range(20):
                served.client.send(b"INCR k\r\n")
                await eventually(lambda n=n: len(served.taken.bytes) == 8 * (n + 1))  # type: ignore[misc]
            assert not served.turns.waiting

    on_loop(work)


def test_what_was_sent_before_the_end_arrives(
    on_loop: Callable[[Work], None], folder: Folder
) -> None:
    async def work() -> None:
        async with Served(folder) as served:
            sent = b"x" * (5 * MOST_BYTES)
            await asyncio.to_thread(served.client.sendall, sent)
            served.client.close()
            while not served.taken.ended:
                with contextlib.suppress(IndexError):
                    served.turns.give()
                await asyncio.sleep(0.002)
            assert served.taken.bytes == sent

    on_loop(work)


def test_what_its_protocol_does_not_want_is_not_gathered(
    on_loop: Callable[[Work], None], folder: Folder
) -> None:
    async def work() -> None:
        async with Served(folder) as served:
            assert served.taken.transport is not None
            served.taken.transport.pause_reading()
            served.client.setblocking(False)
            sent, block = 0, b"x" * 16_000
            end = time.monotonic() + 30
            while time.monotonic() < end:  # until the kernel's buffers are full
                while served.turns.waiting:
                    served.turns.give()
                try:
                    sent += served.client.send(block)
                    still = time.monotonic()
                except ssl.SSLWantWriteError:
                    if time.monotonic() - still > 0.5:
                        break
                await asyncio.sleep(0)
            assert not served.turns.waiting, "it is read from without end"
            assert served.taken.bytes == b""
            served.taken.transport.resume_reading()
            while len(served.taken.bytes) < sent:
                if served.turns.waiting:
                    served.turns.give()
                await asyncio.sleep(0)
                assert time.monotonic() < end + 30

    on_loop(work)


def test_a_closed_connection_whose_client_says_nothing_is_gone_soon(
    on_loop: Callable[[Work], None], folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crowd that never takes leave would keep a descriptor each for half a minute."""
    monkeypatch.setattr(sliced_tls, "SHUTDOWN_S", 0.2)

    async def work() -> None:
        async with Served(folder) as served:
            assert served.taken.transport is not None
            began = time.monotonic()
            served.taken.transport.close()
            await eventually(lambda: served.taken.ended)
            assert time.monotonic() - began < 10

    on_loop(work)
