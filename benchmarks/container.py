"""`python -m benchmarks.container`: nodes in a container's memory, filled until they refuse what is
new, and what they hold at most then and in all that follows, while clients go on counting and hold
what they may hold themselves: a snapshot, a new member that receives it, a member that was stopped
and is behind, every member killed and started again, and at last nearly all counters gone.

The container is a control group of memory of our own, one for each node, where root may make one
(version 1 or 2): whoever goes over its limit is killed, as in a pod. Elsewhere nothing is enforced,
and what was held at most is all that is shown. The group's own peak counts the pages of files as
well, which the kernel takes back before it kills.

    --mib 512           the limit
    --shape plain       names of 30 bytes; `long`: of 200; `expiring`: each with an expiry;
                        `producers`: of IDMP
    --members 1         voters

Exits with 1 when a node was killed or a counter is wrong."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import redis

from benchmarks.control_group import MIB, PATIENCE_S, Member, group
from benchmarks.large import rss_mib
from benchmarks.system import HOST, connect

BATCH = 5_000
LEFT = 7
"""Counters that stay when the others go."""
BEHIND = 1_100
"""Entries that a member must lack to be sent a snapshot: more than a leader keeps (raft/core.py,
`keep_entries`)."""
UNFINISHED_BYTES = 3 << 20
"""Of a command that a client begins and never ends."""
HOLDERS = 40


class Shape:
    """What the state is filled with. `words`: of the command that makes number n."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._pad = "x" * 162 if name == "long" else ""

    def counter(self, n: int) -> str:
        return f"counter:{self._pad}{n:022d}{'x' * 8 if self._pad else ''}"

    def words(self, n: int, due_ms: int) -> list[str]:
        if self.name == "producers":
            return ["IDMP", f"producer:{n:020d}", "1", "INCR", self.counter(n % 1_000)]
        expiry = ["PXAT", str(due_ms)] if self.name == "expiring" else []
        return ["SET", self.counter(n), "1234567", *expiry]


def wire(words: list[str]) -> bytes:
    parts = [f"*{len(words)}", *(part for word in words for part in (f"${len(word)}", word)), ""]
    return "\r\n".join(parts).encode()


def fill(port: int, shape: Shape, due_ms: int) -> tuple[int, str]:
    """Until -OOM: how many there are then, and the words of the refusal."""
    made = 0
    with socket.create_connection((HOST, port)) as s, s.makefile("rb") as replies:
        while True:
            s.sendall(b"".join(wire(shape.words(n, due_ms)) for n in range(made, made + BATCH)))
            answers = [replies.readline() for _ in range(BATCH)]
            refused = [answer for answer in answers if answer[:1] == b"-"]
            made += BATCH - len(refused)
            if refused:
                return made, refused[0].decode().strip()


class Traffic:
    """Clients that count existing counters without end, ask for new ones and are refused; and that
    hold what they may."""

    def __init__(self, ports: list[int], shape: Shape) -> None:
        self._ports, self._shape = ports, shape
        self._over = threading.Event()
        self.counted = self.refused = self.unknown = 0
        self.odd: set[str] = set()
        self._threads = [threading.Thread(target=self._count), threading.Thread(target=self._hold)]

    def _count(self) -> None:
        """Of one counter, one after the other: as many entries of the log."""
        turn = 0
        while not self._over.is_set():
            turn += 1
            try:
                client = connect(self._ports[turn % len(self._ports)])
                while not self._over.is_set():
                    self.unknown += 1
                    client.incr(self._shape.counter(5))
                    self.unknown -= 1
                    self.counted += 1
                    if self.counted % 100 == 0:
                        self._new(client)
            except Exception:
                time.sleep(0.2)

    def _new(self, client: Any) -> None:
        try:
            client.set(f"new:{self.counted:030d}", 1)
        except Exception as error:
            if str(error).startswith("OOM") or "max_bytes" in str(error):
                self.refused += 1
            elif type(error).__name__ not in (
                "ConnectionError",
                "TimeoutError",
                "BusyLoadingError",
            ):
                self.odd.add(str(error)[:100])

    def _hold(self) -> None:
        """Commands of MiB that are begun and never ended: more than all clients may hold."""
        held: list[socket.socket] = []
        word = (
            b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$%d\r\n" % (UNFINISHED_BYTES + 100)
            + b"1" * UNFINISHED_BYTES
        )
        turn = 0
        while not self._over.is_set():
            turn += 1
            with contextlib.suppress(OSError):
                held.append(
                    socket.create_connection(
                        (HOST, self._ports[turn % len(self._ports)]), timeout=5
                    )
                )
                held[-1].sendall(word)
            for s in held[:-HOLDERS]:
                s.close()
            del held[:-HOLDERS]
            self._over.wait(0.1)
        for s in held:
            s.close()

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


class Run:
    """One shape under one limit. `nodes`: in the order in which they joined."""

    def __init__(self, limit: int, shape: Shape, stack: contextlib.ExitStack) -> None:
        self.limit, self.shape, self._stack = limit, shape, stack
        self.nodes: list[Member] = []

    def join(self, *, voter: bool = True) -> Member:
        folder = Path(
            self._stack.enter_context(
                tempfile.TemporaryDirectory(prefix="countercluster-container-")
            )
        )
        inside = self._stack.enter_context(group(self.limit, str(len(self.nodes))))
        node = Member(folder, inside, self.limit)
        self._stack.callback(self._stopped, node)
        leader = self.leader() if self.nodes else None
        node_id = node.begin(leader)
        self.nodes.append(node)
        if leader is None:
            node.until("a leader", lambda: connect(node.resp).set("first", 1))
        elif voter:
            node.until(
                "a promotion",
                lambda: connect(self.leader().admin).execute_command("RAFT.PROMOTE", node_id),
            )
        return node

    def _stopped(self, node: Member) -> None:
        with contextlib.suppress(AttributeError):  # it never began
            node.stop()

    def leader(self) -> Member:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            for node in self.nodes:
                with contextlib.suppress(Exception):
                    if node.status()["role"] == "leader":
                        return node
            time.sleep(0.2)
        raise TimeoutError("no leader")

    def report(self, what: str) -> None:
        """The worst of all nodes."""
        held = [rss_mib(node.process.pid) for node in self.nodes]
        kills, peak = (
            sum(node.inside.kills for node in self.nodes),
            max(node.inside.peak_mib for node in self.nodes),
        )
        figures = (
            max(now for now, _ in held),
            max(most for _, most in held),
            peak,
            kills,
            os.getloadavg()[0],
        )
        words = (what, *(f"{figure:.0f}" for figure in figures))
        print("| " + " | ".join(words) + " |", flush=True)
        assert not kills, "a node was killed at its limit"

    def snapshot(self, node: Member) -> None:
        """However long it takes on a busy machine."""
        before = node.status()["snapshotIndex"]
        with contextlib.suppress(Exception):
            connect(node.admin).execute_command("RAFT.SNAPSHOT")
        node.until("a snapshot", lambda: node.status()["snapshotIndex"] > before)

    def behind(self) -> None:
        """A follower is stopped until it can only be helped by a snapshot; what it holds by then is
        all it had."""
        node = next(node for node in self.nodes if node is not self.leader())
        before = self.leader().status()["appliedIndex"]
        node.process.send_signal(signal.SIGSTOP)
        try:
            leader = self.leader()
            leader.until("entries", lambda: leader.status()["appliedIndex"] > before + BEHIND)
            self.snapshot(leader)
        finally:
            node.process.send_signal(signal.SIGCONT)
        node.until("what it lacks", lambda: node.status()["appliedIndex"] > before + BEHIND)

    def again(self, node: Member) -> None:
        node.stop()
        node.begin()
        node.serves(self.shape.counter(5))


def gone(run: Run, made: int, due_ms: int) -> None:
    """All counters but a few go, as their kind does."""
    shape, leader = run.shape, run.leader()
    if shape.name == "expiring":
        time.sleep(max(0.0, due_ms / 1000 - time.time()))
    elif shape.name != "producers":
        client = redis.Redis(host=HOST, port=leader.resp, socket_timeout=PATIENCE_S)
        for start in range(LEFT, made, BATCH):
            client.delete(*map(shape.counter, range(start, min(start + BATCH, made))))
    leader.until("the end of them", lambda: connect(leader.resp).dbsize() <= 1_010)
    time.sleep(15)


def number(port: int, counter: str) -> int:
    found: Any = connect(port).get(counter)
    return int(found)


def measure(limit: int, shape: Shape, members: int, life_s: float) -> None:
    with contextlib.ExitStack() as stack:
        run = Run(limit, shape, stack)
        for _ in range(members):
            run.join()
        due_ms = int(1000 * (time.time() + life_s))
        made, refusal = fill(run.leader().resp, shape, due_ms)
        print(f"\n{limit // MIB} MiB, {shape.name}, {members} voters: {made:,}, then `{refusal}`\n")
        print(
            "| | held, MiB | at most | with files | killed | load |\n|---|---:|---:|---:|---:|---:|"
        )
        assert "max_bytes" in refusal or shape.name == "producers", refusal
        run.report("full")
        value = number(run.leader().resp, shape.counter(5))
        with Traffic([node.resp for node in run.nodes], shape) as traffic:
            run.snapshot(run.leader())
            run.report("a snapshot was taken, under load")
            run.join(voter=False).serves(shape.counter(5))
            run.report("a new member received it, under load")
            if members > 1:
                run.behind()
                run.report("a member that was behind received one")
            for node in list(run.nodes):
                run.again(node)
            run.report("each killed and started again")
        print(
            f"\ncounted meanwhile {traffic.counted:,}, new ones refused {traffic.refused:,}, ",
            end="",
        )
        print(f"not answered {traffic.unknown}; {traffic.odd or 'nothing else'}\n")
        now = number(run.leader().resp, shape.counter(5))
        assert value + traffic.counted <= now <= value + traffic.counted + traffic.unknown, (
            "a counter is wrong"
        )
        gone(run, made, due_ms)
        print(
            "| | held, MiB | at most | with files | killed | load |\n|---|---:|---:|---:|---:|---:|"
        )
        run.report("15 s after nearly all were gone")


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.container", description=__doc__)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument(
        "--shape", choices=("plain", "long", "expiring", "producers"), default="plain"
    )
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--life-s", type=float, default=900, help="of what expires")
    options = parser.parse_args()
    measure(options.mib << 20, Shape(options.shape), options.members, options.life_s)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
