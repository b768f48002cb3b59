"""Feeds a whole server in memory (parser, session, state machine, encoder) with made-up
connections.

    make fuzz INPUTS=10000000

One input is the byte stream of one connection, cut into pieces as a network might; it holds one to
six commands, some of them damaged. What must hold, for every input: nothing is raised; each command
gets exactly one whole reply; nothing takes longer than HANG_S. And over the run: the state equals
what a snapshot of it restores, and memory stops growing. A third of the connections is of a user
who may not use all keys. The first violation ends the run with the input and its seed."""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import sys
import time

import hiredis
from counter_node.counters.machine import Machine
from counter_node.resp.commands import CATALOGUE
from counter_node.security.acl import Acl
from counter_node.security.refusals import Refusals
from counter_node.users.access import Access

from tests.fuzz import inputs
from tests.support.local import LocalConnection, LocalServer

HANG_S = 60
ROUND = 50_000
"""Inputs between checks; every round begins with another server."""
GROWTH_BYTES = 48 << 20
"""Allowed after the first two rounds; caches of compiled patterns, the allocator's reserve."""


class FuzzError(Exception):
    """A promise was broken; the message has the input that did it."""


def resident_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Server(LocalServer):
    """Keeps to few keys, so that limits are met too."""

    def __init__(self) -> None:
        self.now_ms = 1_000
        super().__init__(clock_ms=lambda: self.now_ms, machine=Machine(max_keys=12))
        self._access = Access(None, CATALOGUE, Refusals())
        self._access.file.acl = Acl("user default on nopass ~k1* %R~k2 +@all -flushall", CATALOGUE)

    def restricted(self) -> LocalConnection:
        """Of a user who may not use all keys."""
        connection = self.connect()
        connection.session.access = self._access
        self._access.settle(connection.session)
        return connection


def feed(server: Server, rng: random.Random) -> int:
    """One connection. Returns how many commands it sent. Raises FuzzError."""
    data = inputs.stream(rng)
    connection = (
        server.restricted() if rng.random() < 0.3 else server.connect(admin=rng.random() < 0.02)
    )
    reader = hiredis.Reader()
    sent = answered = 0
    server.now_ms += rng.randint(0, 3)
    try:
        for piece in inputs.cut(rng, data):
            reply = connection.send(piece)
            reader.feed(reply)
            answered += len(reply)
            while reader.gets() is not False:
                sent += 1
    except Exception as error:
        raise FuzzError(f"{data!r}: {error!r}") from error
    if reader.has_data():
        raise FuzzError(f"{data!r}: a reply is not whole")
    return sent


def check(server: Server) -> None:
    """Raises FuzzError if a snapshot does not restore the state."""
    if Machine.restore(server.machine.snapshot()).checksum() != server.machine.checksum():
        raise FuzzError("the state is not what its snapshot restores")


def run(count: int, seed: int, *, say: bool) -> int:
    """Returns the number of commands answered. Raises FuzzError; a hang ends the process."""
    try:
        return _rounds(count, seed, say)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _rounds(count: int, seed: int, say: bool) -> int:
    start, replies, least = time.monotonic(), 0, 0
    for first in range(0, count, ROUND):
        server = Server()
        for number in range(first, min(first + ROUND, count)):
            if number % 1_000 == 0:
                faulthandler.dump_traceback_later(HANG_S, exit=True)
            rng = random.Random(seed * 1_000_000_007 + number)
            try:
                replies += feed(server, rng)
            except FuzzError as error:
                raise FuzzError(f"seed {seed}, input {number}: {error}") from error.__cause__
        check(server)
        resident = resident_bytes()
        if first == 2 * ROUND:
            least = resident
        if least and resident > least + GROWTH_BYTES:
            raise FuzzError(
                f"memory grew from {least >> 20} to {resident >> 20} MiB after {first + ROUND} "
                f"inputs"
            )
        if say:
            done, took = min(first + ROUND, count), time.monotonic() - start
            print(
                f"{done} inputs, {replies} replies, {done / took:.0f} inputs/s, {resident >> 20} "
                f"MiB",
                flush=True,
            )
    return replies


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tests.fuzz", description="Made-up connections against a server in memory."
    )
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        run(options.inputs, options.seed, say=True)
    except FuzzError as error:
        print(f"fuzz: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
