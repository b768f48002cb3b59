"""What strangers who flood a node cost others: `python3 -m benchmarks.floods`.

A node with users; one client that is logged in sends one increment after another. Beside it strangers
send as fast as the node takes it: `HELLO` without reading the answers, `HELLO` reading them, wrong
passwords, pages of the HTTP port. The table tells the client's 50th and 99th percentile without and
with each, as a ratio, and the node's memory. Rounds are interleaved, as the machine is not quiet.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

from tests.support.devcluster import DevCluster
from tests.support.raw import Wire

USERS = "user default off\nuser app on >a-password ~* +@all\n"
BLOCK = b"HELLO\r\n" * 2_000


def _send(port: int, stop: Event, block: bytes, *, read: bool, connections: int) -> None:
    sockets: list[socket.socket] = []
    while not stop.is_set():
        while len(sockets) < connections:
            sockets.append(socket.create_connection(("127.0.0.1", port)))
            sockets[-1].setblocking(False)
        for connection in list(sockets):
            try:
                if read:
                    with contextlib.suppress(BlockingIOError):
                        while connection.recv(1 << 20):
                            pass
                connection.send(block)
            except BlockingIOError:
                continue
            except OSError:  # cut
                sockets.remove(connection)
        time.sleep(0.0005)


def unread(ports: dict[str, int], stop: Event) -> None:
    _send(ports["resp"], stop, BLOCK, read=False, connections=16)


def answered(ports: dict[str, int], stop: Event) -> None:
    _send(ports["resp"], stop, BLOCK, read=True, connections=16)


def one(ports: dict[str, int], stop: Event) -> None:
    _send(ports["resp"], stop, BLOCK, read=True, connections=1)


def guesses(ports: dict[str, int], stop: Event) -> None:
    _send(ports["resp"], stop, b"AUTH app wrong\r\n" * 100, read=True, connections=16)


def pages(ports: dict[str, int], stop: Event) -> None:
    while not stop.is_set():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", ports["http"]), timeout=5) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            while connection.recv(1 << 20):
                pass


FLOODS: dict[str, Callable[[dict[str, int], Event], None]] = {
    "one connection of HELLO": one,
    "16 connections of HELLO": answered,
    "16 that never read": unread,
    "16 that guess passwords": guesses,
    "pages of metrics": pages,
}


@contextlib.contextmanager
def flooded(flood: Callable[[dict[str, int], Event], None] | None, ports: dict[str, int]) -> Iterator[None]:
    stop = multiprocessing.Event()
    process = multiprocessing.Process(target=flood, args=(ports, stop)) if flood is not None else None
    if process is not None:
        process.start()
    try:
        yield
    finally:
        stop.set()
        if process is not None:
            process.join(10)
            process.kill()


def latencies(wire: Wire, seconds: float) -> list[float]:
    found = []
    end = time.monotonic() + seconds
    while (start := time.monotonic()) < end:
        wire("INCR", "k")
        found.append((time.monotonic() - start) * 1000)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.floods", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        acl = Path(folder) / "users.acl"
        acl.write_text(USERS)
        with DevCluster(Path(folder) / "c", 1, environment={"COUNTER_ACL_FILE": str(acl)}) as cluster, Wire(cluster.resp_port(0)) as wire:
            assert wire("AUTH", "app", "a-password") == "OK"
            ports = {"resp": cluster.resp_port(0), "http": cluster.ports(0)["http"]}
            print("| flood | p50, ms | p99, ms | p99 without, ms | ratio | memory, MiB |\n|---|---|---|---|---|---|")
            for name, flood in FLOODS.items():
                quiet, loud = [], []
                for _ in range(options.rounds):
                    with flooded(None, ports):
                        quiet.append(statistics.quantiles(latencies(wire, options.seconds), n=100)[98])
                    with flooded(flood, ports):
                        time.sleep(0.3)
                        found = statistics.quantiles(latencies(wire, options.seconds), n=100)
                    loud.append((found[49], found[98]))
                p50, p99 = statistics.median(p for p, _ in loud), statistics.median(p for _, p in loud)
                usual = statistics.median(quiet)
                resident = int(Path(f"/proc/{cluster.pid(0)}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
                print(f"| {name} | {p50:.2f} | {p99:.2f} | {usual:.2f} | {p99 / usual:.1f} | {resident} |", flush=True)


if __name__ == "__main__":
    main()
