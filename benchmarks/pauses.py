"""`python -m benchmarks.pauses`: how long another client waits while one does something enormous: a
million counters with one deadline, FLUSHALL, DEL of as many names as one command takes, KEYS, a
snapshot with many producers, a received snapshot, the first fill of a cache. Beside it a Redis for
the same.

One client increments one counter again and again; the longest that took is shown, and how often it
took over 20 ms. `counter_loop_lag` is the node's own word: how late its clock came, at most."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from counter_node.ports import free_ports
from counter_node.resp.limits import MAX_ARGUMENTS

from benchmarks.large import Node, Pauses, rss_mib
from benchmarks.system import HOST, connect, wait_for

BATCH = 5_000
LONG_MS = 20.0
NAMES = MAX_ARGUMENTS - 1
"""In one command."""
PRODUCERS = 20_000
SETTLE_S = 1.0
PATIENCE_S = 180.0


def filled(port: int, keys: int, deadline_ms: int = 0) -> None:
    """`keys` counters with names of 20 bytes; with a deadline, if there is one."""
    with socket.create_connection((HOST, port)) as s, s.makefile("rb") as replies:
        end = b"$4\r\nPXAT\r\n$13\r\n%d\r\n" % deadline_ms if deadline_ms else b""
        for start in range(0, keys, BATCH):
            batch = range(start, min(start + BATCH, keys))
            head = b"*%d\r\n$3\r\nSET\r\n$20\r\n" % (5 if end else 3)
            s.sendall(b"".join(head + b"counter:%012d\r\n$1\r\n7\r\n" % key + end for key in batch))
            for _ in batch:
                answer = replies.readline()
                assert answer == b"+OK\r\n", answer


def producers(port: int, count: int) -> None:
    with socket.create_connection((HOST, port)) as s, s.makefile("rb") as replies:
        for start in range(0, count, BATCH):
            batch = range(start, min(start + BATCH, count))
            words = b"*5\r\n$4\r\nIDMP\r\n$10\r\n%010d\r\n$1\r\n1\r\n$4\r\nINCR\r\n$1\r\np\r\n"
            s.sendall(b"".join(words % number for number in batch))
            for _ in batch:
                answer = replies.readline()
                assert answer.startswith(b":"), answer


def lag_buckets(http: int) -> dict[float, float]:
    with urllib.request.urlopen(f"http://{HOST}:{http}/metrics") as page:
        found = re.findall(
            r'counter_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)', page.read().decode()
        )
    return {float(le): float(count) for le, count in found}


def lag_over(before: dict[float, float], after: dict[float, float]) -> str:
    """The bucket of the latest tick in between."""
    last, shown = 0.0, "0 ms"
    for le, count in after.items():
        if count - before[le] > last:
            last, shown = count - before[le], f"≤ {1000 * le:.0f} ms"
    return shown


def _wait(what: str, ready: Callable[[], bool]) -> None:
    """Longer than for a start."""
    end = time.monotonic() + PATIENCE_S
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not done within {PATIENCE_S:.0f} s")
        time.sleep(0.05)


def names(count: int) -> list[str]:
    return [f"counter:{n:012d}" for n in range(count)]


class Target:
    """A node, or a Redis; `http` is 0 for the latter."""

    def __init__(self, name: str, port: int, http: int, pid: int, admin: int = 0) -> None:
        self.name, self.port, self.http, self.pid, self.admin = name, port, http, pid, admin

    def during(
        self, what: str, act: Callable[[], Any], settled: Callable[[], bool] = lambda: True
    ) -> None:
        before = lag_buckets(self.http) if self.http else {}
        with Pauses(self.port) as pauses:
            time.sleep(SETTLE_S)
            begin = time.monotonic()
            act()
            _wait(what, settled)
            took = time.monotonic() - begin
            time.sleep(SETTLE_S)
        over = sum(ms > LONG_MS for ms in pauses.took)
        own = lag_over(before, lag_buckets(self.http)) if self.http else ""
        print(
            f"| {what} | {self.name} | {max(pauses.took):.1f} | {over} | {own} | {took:.2f} | "
            f"{rss_mib(self.pid)[0]:.0f} |",
            flush=True,
        )


@contextlib.contextmanager
def redis_server() -> Iterator[Target]:
    (port,) = free_ports(1)
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    assert program is not None, "no redis-server here; --only node"
    process = subprocess.Popen(
        [program, "--port", str(port), "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for("Redis", lambda: bool(connect(port).ping()))
        yield Target("Redis", port, 0, process.pid)
    finally:
        process.kill()
        process.wait()


def first_fill(keys: int) -> None:
    """Of a Redis that is started while the node leads with all its counters."""
    (port,) = free_ports(1)
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    assert program is not None, "no redis-server here"
    with node("--cache", f"{HOST}:{port}") as target:
        filled(target.port, keys)
        cache: list[subprocess.Popen[bytes]] = []

        def start() -> None:
            words = [program, "--port", str(port), "--save", "", "--appendonly", "no"]
            cache.append(subprocess.Popen(words, stdout=subprocess.DEVNULL))
            wait_for("Redis", lambda: bool(connect(port).ping()))

        try:
            target.during(
                "the first fill of a cache", start, lambda: int(connect(port).dbsize()) >= keys
            )
        finally:
            for process in cache:
                process.kill()
                process.wait()


def received(keys: int) -> None:
    """A new member gets the snapshot of one that goes on serving; and its own latest tick
    meanwhile."""
    with (
        node() as target,
        tempfile.TemporaryDirectory(prefix="countercluster-pauses-") as directory,
    ):
        filled(target.port, keys)
        connect(target.admin).execute_command("RAFT.SNAPSHOT")
        second = Node(Path(directory))
        second.launch()
        try:
            wait_for("the new member", lambda: bool(connect(second.admin).ping()))
            new = json.loads(connect(second.admin).execute_command("RAFT.STATUS"))["nodeId"]
            words = new, "new", f"{HOST}:{second.peer}", f"{HOST}:{second.resp}"
            before = lag_buckets(second.http)

            def there() -> bool:
                with contextlib.suppress(Exception):
                    return connect(second.resp).get("counter:%012d" % (keys - 1)) is not None  # noqa: UP031
                return False

            target.during(
                "a new member receives a snapshot",
                lambda: connect(target.admin).execute_command("RAFT.ADDLEARNER", *words),
                there,
            )
            print(
                f"| the same | the new member | | | {lag_over(before, lag_buckets(second.http))} "
                f"| | {rss_mib(second.process.pid)[0]:.0f} |"
            )
        finally:
            second.stop()


@contextlib.contextmanager
def node(*options: str) -> Iterator[Target]:
    with tempfile.TemporaryDirectory(prefix="countercluster-pauses-") as directory:
        server = Node(Path(directory), "--snapshot-bytes", str(2 << 30), *options)
        try:
            server.start()
            yield Target("node", server.resp, server.http, server.process.pid, server.admin)
        finally:
            server.stop()


def measure(target: Target, keys: int) -> None:
    client = connect(target.port)
    filled(target.port, keys)
    target.during("nothing", lambda: None)
    target.during("KEYS *", lambda: client.keys("*"))
    target.during("KEYS * that finds nothing", lambda: client.keys("x*y"))
    target.during(f"DEL of {NAMES:,} names", lambda: client.delete(*names(NAMES)))
    target.during(
        f"MSET of {NAMES // 2:,} names", lambda: client.mset(dict.fromkeys(names(NAMES // 2), 1))
    )
    target.during("MULTI of 10,000 SET", lambda: _transaction(client))
    if target.admin:
        producers(target.port, PRODUCERS)
        target.during(
            f"a snapshot, {PRODUCERS:,} producers",
            lambda: connect(target.admin).execute_command("RAFT.SNAPSHOT"),
        )
    target.during("FLUSHALL", client.flushall)
    due = int(time.time() * 1000) + 20_000 + keys // 20
    filled(target.port, keys, due)
    _wait("the deadline", lambda: time.time() * 1000 > due - 2_000)
    target.during(
        f"{keys:,} counters with one deadline", lambda: None, lambda: bool(client.dbsize() <= 3)
    )
    time.sleep(2)
    print(f"| afterwards | {target.name} | | | | | {rss_mib(target.pid)[0]:.0f} |")


def _transaction(client: Any) -> None:
    with client.pipeline(transaction=True) as pipe:
        for n in range(9_000):
            pipe.set(f"counter:{n:012d}", n, ex=1_000)
        pipe.execute()


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.pauses", description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--only", choices=("node", "redis"))
    options = parser.parse_args()
    print(
        "| what | server | longest, ms | over 20 ms | latest tick | took, s | MiB "
        "|\n|---|---|---:|---:|---:|---:|---:|"
    )
    if options.only != "redis":
        with node() as target:
            measure(target, options.keys)
        received(options.keys)
        first_fill(options.keys)
    if options.only != "node":
        with redis_server() as target:
            measure(target, options.keys)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
