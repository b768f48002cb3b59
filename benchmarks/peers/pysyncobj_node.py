"""A counter on PySyncObj behind a thin server of the Redis protocol: INCR and LEADING. Arguments:
INDEX PEERS LISTEN JOURNAL."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import hiredis
from pysyncobj import SyncObj, SyncObjConf, replicated


class Counters(SyncObj):  # type: ignore[misc]
    def __init__(self, own: str, others: list[str], journal: str) -> None:
        super().__init__(
            own,
            others,
            SyncObjConf(
                journalFile=journal, dynamicMembershipChange=False, commandsQueueSize=1_000_000
            ),
        )
        self.values: dict[str, int] = {}

    @replicated  # type: ignore[untyped-decorator]
    def increment(self, key: str) -> int:
        self.values[key] = self.values.get(key, 0) + 1
        return self.values[key]


class Connection(asyncio.Protocol):
    def __init__(self, counters: Counters, loop: asyncio.AbstractEventLoop) -> None:
        self.counters, self.loop = counters, loop
        self.reader = hiredis.Reader()
        self.waiting: list[bytes | None] = []  # replies in the order of their commands
        self.first = 0  # number of the command that waiting[0] belongs to

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.reader.feed(data)
        while (words := self.reader.gets()) is not False:
            number = self.first + len(self.waiting)
            self.waiting.append(None)
            if words[0].upper() == b"INCR":
                self.counters.increment(
                    words[1].decode(),
                    callback=lambda value, error, n=number: self._done(n, value, error),
                )
            else:
                self._answer(
                    number, b"+LEADER\r\n" if self.counters._isLeader() else b"+FOLLOWER\r\n"
                )

    def _done(self, number: int, value: Any, error: Any) -> None:  # on PySyncObj's thread
        self.loop.call_soon_threadsafe(
            self._answer, number, b":%d\r\n" % value if error == 0 else b"-ERR %d\r\n" % error
        )

    def _answer(self, number: int, reply: bytes) -> None:
        self.waiting[number - self.first] = reply
        ready = 0
        while ready < len(self.waiting) and self.waiting[ready] is not None:
            ready += 1
        self.transport.write(b"".join(r for r in self.waiting[:ready] if r is not None))
        del self.waiting[:ready]
        self.first += ready


async def main() -> None:
    index, peers, listen, journal = sys.argv[1:]
    addresses = peers.split(",")
    own = addresses.pop(int(index))
    counters = Counters(own, addresses, journal)
    host, port = listen.rsplit(":", 1)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(counters, loop), host, int(port))
    await server.serve_forever()


asyncio.run(main())
