"""What strangers who flood a node cost others: `python3 -m benchmarks.floods [--tls]`.

Three nodes with users; one client that is logged in at the leader sends one increment after
another. Beside it strangers, in a process of their own, send to the leader as fast as it takes it:
`HELLO` without reading the answers, `HELLO` reading them, wrong passwords, pages of the HTTP port.
The first table tells the client's 50th and 99th percentile without and with each, as a ratio, also
to what a process costs that takes a core as the flood does and sends nothing; how many of the
strangers' requests were answered, the most memory that the node held meanwhile, and whether the
term is the same. More always waits than the node takes. Rounds are interleaved, as the
machine is not quiet. The second tells its memory before and after `--requests` of `HELLO` by 16
connections, and the third how long pages of the HTTP port take beside that."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import multiprocessing
import os
import socket
import ssl
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.certificates import Folder
from tests.support.devcluster import DevCluster
from tests.support.raw import Wire

USERS = "user default off\nuser app on >a-password ~* +@all\n"
HELLO = b"HELLO\r\n"
BLOCK = HELLO * 2_000
WHOLE = 37_450
"""256 KiB of `HELLO`."""
CLIENT_BYTES = 64 << 20
"""As in a container of 512 MiB."""
_LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Ports(NamedTuple):
    resp: int
    http: int
    authority: str
    """A file; empty: no TLS."""


def context(ports: Ports) -> ssl.SSLContext | None:
    return ssl.create_default_context(cafile=ports.authority) if ports.authority else None


def connected(ports: Ports, secure: ssl.SSLContext | None) -> socket.socket:
    plain = socket.create_connection(("127.0.0.1", ports.resp), timeout=30)
    return secure.wrap_socket(plain, server_hostname="localhost") if secure else plain


def _send(
    ports: Ports,
    stop: Event,
    sent: Any,
    block: bytes,
    *,
    read: bool,
    connections: int,
    most: int = 0,
) -> None:
    """`sent`: how many requests were answered so far. `most`: ends when so many were."""
    secure, sockets = context(ports), list[socket.socket]()
    while not stop.is_set() and not (most and sent.value >= most):
        while len(sockets) < connections:
            with contextlib.suppress(OSError):
                sockets.append(connected(ports, secure))
                sockets[-1].setblocking(False)
        for connection in list(sockets):
            try:
                if read:
                    with contextlib.suppress(*_LATER):
                        while data := connection.recv(1 << 20):
                            sent.value += data.count(b"\r\n")
                connection.send(block)
            except _LATER:
                continue
            except OSError:  # cut
                sockets.remove(connection)
        time.sleep(0.0005)


def unread(ports: Ports, stop: Event, sent: Any) -> None:
    _send(ports, stop, sent, HELLO * WHOLE, read=False, connections=64)


def answered(ports: Ports, stop: Event, sent: Any) -> None:
    _send(ports, stop, sent, BLOCK, read=True, connections=16)


def one(ports: Ports, stop: Event, sent: Any) -> None:
    _send(ports, stop, sent, BLOCK, read=True, connections=1)


def guesses(ports: Ports, stop: Event, sent: Any) -> None:
    _send(ports, stop, sent, b"AUTH app wrong\r\n" * 100, read=True, connections=16)


def handshakes(ports: Ports, stop: Event, sent: Any) -> None:
    """Begun and left, 200 at a time; without TLS: connections."""
    left: list[socket.socket] = []
    while not stop.is_set():
        with contextlib.suppress(OSError):
            left.append(socket.create_connection(("127.0.0.1", ports.resp), timeout=5))
            sent.value += 1
            left[-1].send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        for connection in left[:-200]:
            connection.close()
        del left[:-200]


def page(ports: Ports, path: str) -> int:
    scheme = "https" if ports.authority else "http"
    with urllib.request.urlopen(
        f"{scheme}://localhost:{ports.http}{path}", timeout=30, context=context(ports)
    ) as found:
        return len(found.read())


def pages(ports: Ports, stop: Event, sent: Any) -> None:
    for path in itertools.cycle(("/metrics", "/status")):
        if stop.is_set():
            return
        with contextlib.suppress(OSError):
            page(ports, path)
            sent.value += 1


def neighbour(ports: Ports, stop: Event, sent: Any) -> None:
    """Takes a core as the floods do, and sends nothing: what of a ratio is the machine's."""
    while not stop.is_set():
        hashlib.sha256(bytes(1 << 16)).digest()


Flood = Callable[[Ports, Event, Any], None]
FLOODS: dict[str, Flood] = {
    "one connection of HELLO": one,
    "16 connections of HELLO": answered,
    "64 that send 256 KiB at once and never read": unread,
    "16 that guess passwords": guesses,
    "handshakes begun and left": handshakes,
    "pages of metrics and status": pages,
}


@contextlib.contextmanager
def flooded(flood: Flood | None, ports: Ports) -> Iterator[Any]:
    """Gives how many requests were answered so far, where the flood reads."""
    stop, sent = multiprocessing.Event(), multiprocessing.Value("q", 0)
    process = (
        multiprocessing.Process(target=flood, args=(ports, stop, sent))
        if flood is not None
        else None
    )
    if process is not None:
        process.start()
    try:
        yield sent
    finally:
        stop.set()
        if process is not None:
            process.join(10)
            process.kill()


def taken(seconds: float, ask: Callable[[], object]) -> list[float]:
    """How many ms each took."""
    found: list[float] = []
    end = time.monotonic() + seconds
    while (start := time.monotonic()) < end or len(found) < 2:
        ask()
        found.append((time.monotonic() - start) * 1000)
    return found


def p99(found: list[float]) -> float:
    return statistics.quantiles(found, n=100)[98]


class Node:
    """The leader, as a process and as what it says."""

    def __init__(self, cluster: DevCluster, folder: Folder | None) -> None:
        self.cluster, self.number = cluster, cluster.leader()
        self.pid = cluster.pid(self.number)
        authority = str(folder.path / "ca.crt") if folder is not None else ""
        self.ports = Ports(
            cluster.resp_port(self.number), cluster.ports(self.number)["http"], authority
        )
        secure = context(self.ports)
        self.wire = Wire(self.ports.resp, context=secure)
        assert self.wire("AUTH", "app", "a-password") == "OK"

    def resident_mib(self) -> float:
        return (
            int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
            * os.sysconf("SC_PAGE_SIZE")
            / (1 << 20)
        )

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def peak_mib(self) -> float:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024

    def term(self) -> int:
        return int(self.cluster.status(self.number)["term"])


def latencies(node: Node, rounds: int, seconds: float) -> None:
    print(
        "| flood | answered a second | p50, ms | p99, ms | p99 without, ms | ratio (each round) "
        "| to a busy neighbour's | memory before, most, MiB | term |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    ask = lambda: node.wire("INCR", "k")  # noqa: E731
    for name, flood in FLOODS.items():
        quiet, busy, loud, medians, rates = [], [], [], [], []
        before, term = node.resident_mib(), node.term()
        node.forget_peak()
        for _ in range(rounds):
            quiet.append(p99(taken(seconds, ask)))
            with flooded(neighbour, node.ports):
                time.sleep(0.5)
                busy.append(p99(taken(seconds, ask)))
            with flooded(flood, node.ports) as sent:
                time.sleep(0.5)
                before_it = sent.value
                found = taken(seconds, ask)
                rates.append((sent.value - before_it) / seconds)
            loud.append(p99(found))
            medians.append(statistics.median(found))
        ratios = _ratios(loud, quiet)
        print(
            f"| {name} | {statistics.median(rates):,.0f} | {statistics.median(medians):.2f} | "
            f"{statistics.median(loud):.1f} "
            f"| {statistics.median(quiet):.1f} | {statistics.median(ratios):.1f} "
            f"({ratios[0]:.1f} to {ratios[-1]:.1f}) "
            f"| {statistics.median(_ratios(loud, busy)):.1f} "
            f"| {before:.0f}, {node.peak_mib():.0f} | "
            f"{'the same' if node.term() == term else 'ANOTHER'} |",
            flush=True,
        )


def _ratios(loud: list[float], quiet: list[float]) -> list[float]:
    return sorted(with_it / without for with_it, without in zip(loud, quiet, strict=True))


def scrapes(node: Node, rounds: int, seconds: float) -> None:
    print(
        "\n| page | p99, ms | p99 beside 16 connections of HELLO, ms | ratio |\n|---|---|---|---|"
    )
    for path in ("/metrics", "/status"):
        quiet, loud = [], []
        for _ in range(rounds):
            quiet.append(p99(taken(seconds, lambda: page(node.ports, path))))  # noqa: B023
            with flooded(answered, node.ports):
                time.sleep(0.5)
                loud.append(p99(taken(seconds, lambda: page(node.ports, path))))  # noqa: B023
        ratio = statistics.median(w / without for w, without in zip(loud, quiet, strict=True))
        print(
            f"| {path} | {statistics.median(quiet):.0f} | {statistics.median(loud):.0f} | "
            f"{ratio:.1f} |",
            flush=True,
        )


def many(node: Node, requests: int, seconds: float) -> None:
    """Until so many are answered, or the time is over."""
    stop, sent = multiprocessing.Event(), multiprocessing.Value("q", 0)
    options = {"read": True, "connections": 16, "most": requests}
    process = multiprocessing.Process(
        target=_send, args=(node.ports, stop, sent, BLOCK), kwargs=options
    )
    begin, start = node.resident_mib(), time.monotonic()
    process.start()
    seen: list[str] = []
    while process.is_alive() and time.monotonic() - start < seconds:
        process.join(seconds / 10)
        seen.append(f"{node.resident_mib():.1f} at {sent.value / 1e6:.2f}")
    stop.set()
    process.join(30)
    process.kill()
    time.sleep(2)
    print(
        f"\n{sent.value:,} requests of 16 connections in {time.monotonic() - start:.0f} s: "
        f"{begin:.1f} MiB before,"
    )
    print(
        f"{node.resident_mib():.1f} after; on the way, MiB at million requests: {', '.join(seen)}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.floods", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--most-seconds", type=float, default=120.0, help="for these requests")
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        acl = Path(temporary) / "users.acl"
        acl.write_text(USERS)
        folder = Folder(Path(temporary) / "tls", 3) if options.tls else None
        environment = {
            "COUNTER_ACL_FILE": str(acl),
            **(folder.environment if folder is not None else {}),
        }
        cluster = DevCluster(
            Path(temporary) / "c", 3, "--client-bytes", str(CLIENT_BYTES), environment=environment
        )
        if folder is not None:
            cluster.client_options, cluster.admin_options = (
                dict(folder.client),
                dict(folder.operator),
            )
        with cluster:
            node = Node(cluster, folder)
            print(f"{'TLS' if options.tls else 'Plain'}; load average {os.getloadavg()[0]:.1f}\n")
            latencies(node, options.rounds, options.seconds)
            scrapes(node, options.rounds, options.seconds)
            many(node, options.requests, options.most_seconds)
            print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
