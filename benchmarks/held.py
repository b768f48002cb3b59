"""`python -m benchmarks.held`: how long each heavy thing holds the loop of a real node at once, and
what another client waits meanwhile; beside a Redis for the same. One member, as many counters as
are asked for.

The node runs on asyncio's own loop, of which every callback is timed: by the clock of its thread
(what other programs do on the machine does not count) and by the wall. `uvloop`, which a node uses,
calls the same. A second client increments one counter again and again: what it waits is what a
client sees, on this machine at this hour.

The rows that leave everything as it was are repeated: the median and the worst are shown."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from counter_node.resp.limits import MAX_ARGUMENTS

from benchmarks.large import Pauses, rss_mib
from benchmarks.longest import PATIENCE_S, REPORT, Longest, Timed, until
from benchmarks.pauses import filled, redis_server
from benchmarks.system import HOST, connect

MANY = MAX_ARGUMENTS - 1
TIMES = 3


# --- in the node ----------------------------------------------------------------------------------


def node() -> int:
    """A node like any other, but for its loop. SIGUSR1: what was held longest is written down, and
    forgotten."""
    import uvloop
    from counter_node import __main__

    found = [Longest()]
    run = asyncio.Handle._run

    def timed(self: asyncio.Handle) -> None:
        callback = self._callback  # type: ignore[attr-defined]
        wall, cpu = time.monotonic(), time.thread_time()
        try:
            run(self)
        finally:
            found[0].add(time.thread_time() - cpu, time.monotonic() - wall, callback)

    def tell(*_: object) -> None:
        last, found[0] = found[0], Longest()
        path = Path(os.environ[REPORT])
        path.with_suffix(".new").write_text(json.dumps(vars(last)))
        path.with_suffix(".new").replace(path)

    asyncio.Handle._run = timed  # type: ignore[method-assign]
    signal.signal(signal.SIGUSR1, tell)
    uvloop.run = asyncio.run  # type: ignore[assignment]
    return __main__.main()


# --- outside --------------------------------------------------------------------------------------


class Subject:
    """A node or a Redis, and the table's lines of it."""

    def __init__(self, port: int, pid: int, node: Timed | None) -> None:
        self.port, self.pid, self.node = port, pid, node

    def during(
        self,
        what: str,
        act: Callable[[], Any],
        settled: Callable[[], bool] = lambda: True,
        times: int = 1,
    ) -> None:
        cpu, wall, seen, took, of = list[float](), list[float](), list[float](), list[float](), ""
        for _ in range(times):
            if self.node is not None:
                self.node.held()
            with Pauses(self.port) as pauses:
                begin = time.monotonic()
                act()
                until(what, settled)
                took.append(time.monotonic() - begin)
                time.sleep(0.5)
            seen.append(max(pauses.took))
            if self.node is not None:
                held = self.node.held()
                if held["cpu_ms"] > max(cpu, default=0):
                    of = held["cpu_of"]
                cpu.append(held["cpu_ms"])
                wall.append(held["wall_ms"])
        name = "node" if self.node is not None else "Redis"
        rss = rss_mib(self.pid)[0]
        words = (
            what,
            name,
            both(cpu),
            both(wall),
            both(seen),
            f"{statistics.median(took):.2f}",
            f"{rss:.0f}",
            f"{os.getloadavg()[0]:.0f}",
            of,
        )
        print("| " + " | ".join(words) + " |", flush=True)


def both(found: list[float]) -> str:
    """The median and the worst."""
    if not found:
        return ""
    middle, worst = statistics.median(found), max(found)
    return f"{worst:.1f}" if len(found) == 1 else f"{middle:.1f}, {worst:.1f}"


def scanned(port: int, count: int, pages: int) -> None:
    client, cursor = connect(port), 0
    for _ in range(pages):
        cursor, _ = client.scan(cursor, count=count)
        if cursor == 0:
            return


def reads(subject: Subject, keys: int) -> None:
    port, client = subject.port, connect_slow(subject.port)
    during = subject.during
    during("nothing", lambda: time.sleep(1), times=TIMES)
    during("DBSIZE, 1,000 times", lambda: [client.dbsize() for _ in range(1_000)], times=TIMES)
    during("SCAN COUNT 1,000, 200 pages", lambda: scanned(port, 1_000, 200), times=TIMES)
    during("SCAN COUNT 10,000, 20 pages", lambda: scanned(port, 10_000, 20), times=TIMES)
    during("KEYS *", lambda: refused_or(lambda: client.keys("*")))
    during("KEYS * that finds nothing", lambda: client.keys("x*y"))
    during(f"MGET of {MANY:,} names", lambda: client.mget(spread(MANY, keys)), times=TIMES)
    during(
        "MGET of 100,000 names",
        lambda: refused_or(lambda: client.mget(spread(100_000, keys))),
        times=TIMES,
    )
    during("INFO, 20 times", lambda: [client.info() for _ in range(20)], times=TIMES)
    if subject.node is not None:
        admin = connect(subject.node.admin)
        during(
            "RAFT.STATUS, 20 times",
            lambda: [admin.execute_command("RAFT.STATUS") for _ in range(20)],
            times=TIMES,
        )
        page = f"http://{HOST}:{subject.node.http}/metrics"
        during("a page of metrics", lambda: urllib.request.urlopen(page).read(), times=TIMES)


def connect_slow(port: int) -> Any:
    import redis

    return redis.Redis(
        host=HOST, port=port, socket_timeout=PATIENCE_S, single_connection_client=True
    )


def refused_or(act: Callable[[], Any]) -> None:
    """What is over a limit is refused; that takes its time as well."""
    import redis

    with contextlib.suppress(redis.RedisError, OSError):
        act()


def spread(count: int, keys: int) -> list[str]:
    """Names from all over the tables."""
    return [f"counter:{n * 7919 % keys:012d}" for n in range(count)]


def writes(subject: Subject, keys: int) -> None:
    client = connect_slow(subject.port)
    during = subject.during
    half = dict.fromkeys(spread(MANY // 2, keys), 1)
    during(f"MSET of {MANY // 2:,} names", lambda: client.mset(half), times=TIMES)
    during(
        "MSET of 100,000 names",
        lambda: refused_or(lambda: client.mset(dict.fromkeys(spread(100_000, keys), 1))),
        times=TIMES,
    )
    during("MULTI of 9,000 SET", lambda: transaction(client), times=TIMES)
    if subject.node is not None:
        admin = connect_slow(subject.node.admin)
        during("a snapshot", lambda: snapshot(admin, subject.node), times=2)
        received(subject, keys)
    during(f"DEL of {MANY:,} names", lambda: client.delete(*spread(MANY, keys)))
    during(
        "DEL of 100,000 names", lambda: refused_or(lambda: client.delete(*spread(100_000, keys)))
    )


def transaction(client: Any) -> None:
    with client.pipeline(transaction=True) as pipe:
        for n in range(9_000):
            pipe.set(f"counter:{n:012d}", n)
        pipe.execute()


def taken(node: Timed) -> float:
    with urllib.request.urlopen(f"http://{HOST}:{node.http}/metrics") as page:
        lines = page.read().decode().splitlines()
    return next(
        float(line.split()[1]) for line in lines if line.startswith("counter_snapshots_taken_total")
    )


def snapshot(admin: Any, node: Timed | None) -> None:
    assert node is not None
    before = taken(node)
    with contextlib.suppress(Exception):
        admin.execute_command("RAFT.SNAPSHOT")  # answers after ten seconds at the latest
    until("a snapshot", lambda: taken(node) > before)


def received(subject: Subject, keys: int) -> None:
    """A new member gets the snapshot; beside what holds its own loop."""
    assert subject.node is not None
    leader = subject.node
    with tempfile.TemporaryDirectory(prefix="countercluster-held-") as directory:
        # A learner that takes long would refuse its clients, and is not made a voter here.
        second = Timed(Path(directory), *leader.options, "--unready-close-s", "0")
        second.launch()
        try:
            until("the new member", lambda: bool(connect(second.admin).ping()))
            new = json.loads(connect(second.admin).execute_command("RAFT.STATUS"))["nodeId"]
            words = new, "new", f"{HOST}:{second.peer}", f"{HOST}:{second.resp}"
            second.held()
            subject.during(
                "a new member receives a snapshot",
                lambda: connect(leader.admin).execute_command("RAFT.ADDLEARNER", *words),
                lambda: connect(second.resp).get(f"counter:{keys - 1:012d}") is not None,
            )
            held = second.held()
            rss = rss_mib(second.process.pid)[0]
            row = (
                f"| the same | the new member | {held['cpu_ms']:.1f} | {held['wall_ms']:.1f} | "
                f"| | {rss:.0f} | | {held['cpu_of']} |"
            )
            print(row, flush=True)
            connect(leader.admin).execute_command("RAFT.REMOVE", new)
        finally:
            second.stop()


def measure(subject: Subject, keys: int) -> None:
    during = subject.during
    client = connect_slow(subject.port)
    begin = time.monotonic()
    during(f"{keys:,} counters made", lambda: filled(subject.port, keys))
    fill_s = time.monotonic() - begin
    reads(subject, keys)
    writes(subject, keys)
    during(f"FLUSHALL of {keys:,}", client.flushall)
    time.sleep(5)
    print(
        f"| 5 s later | {'node' if subject.node else 'Redis'} | | | | | "
        f"{rss_mib(subject.pid)[0]:.0f} | | |",
        flush=True,
    )
    expired(subject, keys, fill_s)


def expired(subject: Subject, keys: int, fill_s: float) -> None:
    """`fill_s`: what it took to make as many without a deadline."""
    client, name = connect_slow(subject.port), "node" if subject.node else "Redis"
    due_ms = int(1000 * (time.time() + 30 + 2 * fill_s))
    subject.during(
        f"{keys:,} counters with a deadline made", lambda: filled(subject.port, keys, due_ms)
    )
    assert time.time() * 1000 < due_ms, "the fill took too long"
    time.sleep(max(0.0, due_ms / 1000 - time.time() - 1))

    def over() -> bool:
        return time.time() * 1000 > due_ms + 500 and (
            gone(subject.node) if subject.node else client.dbsize() <= 3
        )

    subject.during(f"{keys:,} counters with one deadline", lambda: None, over)
    time.sleep(5)
    print(f"| 5 s later | {name} | | | | | {rss_mib(subject.pid)[0]:.0f} | | |", flush=True)


def gone(node: Timed | None) -> bool:
    """Every one is removed, not only due."""
    assert node is not None
    with urllib.request.urlopen(f"http://{HOST}:{node.http}/metrics") as page:
        lines = page.read().decode().splitlines()
    return (
        next(
            float(line.split()[1]) for line in lines if line.startswith("counter_state_size_bytes ")
        )
        < 10_000
    )


@contextlib.contextmanager
def a_node(*options: str) -> Iterator[Subject]:
    with tempfile.TemporaryDirectory(prefix="countercluster-held-") as directory:
        server = Timed(Path(directory), "--snapshot-bytes", str(2 << 30), *options)
        try:
            server.start()
            yield Subject(server.resp, server.process.pid, server)
        finally:
            server.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.held", description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--only", choices=("node", "redis"))
    options = parser.parse_args()
    print(
        "| what | server | held, ms of CPU | held, ms | a client waits, ms | took, s | MiB | "
        "load | longest in |"
    )
    print("|---|---|---:|---:|---:|---:|---:|---:|---|", flush=True)
    if options.only != "redis":
        with a_node() as subject:
            measure(subject, options.keys)
    if options.only != "node":
        with redis_server() as target:
            subject = Subject(target.port, target.pid, None)
            measure(subject, options.keys)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
