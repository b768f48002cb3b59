"""`python -m benchmarks.container`: a node in a container's memory, filled until it refuses what is new, and what it
holds at most then, while it takes a snapshot, after a restart, and where a new member receives the snapshot.

The container is a control group of memory of our own, where root may make one (version 1 or 2): whoever goes over the
limit is killed, as in a pod. Elsewhere nothing is enforced, and what was held at most is all that is told."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.large import Node, rss_mib
from benchmarks.systems import HOST, connect

BATCH = 1_000
V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


class Group:
    """Of memory; without a path nothing is enforced."""

    def __init__(self, path: Path | None, peak: str, failures: str) -> None:
        self.path, self._peak, self._failures = path, peak, failures

    def join(self, pid: int) -> None:
        if self.path is not None:
            (self.path / "cgroup.procs").write_text(str(pid))

    def words(self) -> str:
        if self.path is None:
            return "no limit in force"
        text = (self.path / self._failures).read_text()
        return f"limit met {text.split()[-1] if self._failures == 'memory.failcnt' else text.split('max ')[1].split()[0]} times"


@contextlib.contextmanager
def group(limit: int, name: str) -> Iterator[Group]:
    for root, file, peak, failures in (
        (V1, "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.failcnt"),
        (V2, "memory.max", "memory.peak", "memory.events"),
    ):
        path = root / f"countercluster-{os.getpid()}-{name}"
        try:
            path.mkdir()
        except OSError:
            continue
        try:
            try:
                (path / file).write_text(str(limit))
            except OSError:
                continue
            yield Group(path, peak, failures)
            return
        finally:
            with contextlib.suppress(OSError):
                path.rmdir()
    yield Group(None, "", "")


class Member(Node):
    def __init__(self, directory: Path, inside: Group, limit: int) -> None:
        super().__init__(directory, "--memory-bytes", str(limit))
        self._inside = inside

    def begin(self, *, leader: Node | None = None) -> None:
        """Until it serves; as the first of a cluster, or a learner of `leader`'s."""
        self.launch()
        self._inside.join(self.process.pid)
        self.answers()
        status = json.loads(connect(self.admin).execute_command("RAFT.STATUS"))
        if leader is not None:
            words = status["nodeId"], "new", f"{HOST}:{self.peer}", f"{HOST}:{self.resp}"
            connect(leader.admin).execute_command("RAFT.ADDLEARNER", *words)
        elif status["role"] == "waiting":
            connect(self.admin).execute_command("RAFT.BOOTSTRAP", status["nodeId"])
        self.serves()

    def answers(self) -> None:
        """A start reads the whole snapshot."""
        end = time.monotonic() + 300
        while time.monotonic() < end:
            with contextlib.suppress(Exception):
                connect(self.admin).ping()
                return
            time.sleep(0.2)
        raise TimeoutError("the node does not start")

    def serves(self, counter: str = "") -> None:
        end = time.monotonic() + 300
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"the node ended with {self.process.returncode}: killed at its limit")
            with contextlib.suppress(Exception):
                if connect(self.resp).get(counter or "any") is not None or not counter:
                    return
            time.sleep(0.2)
        raise TimeoutError("the node does not serve")

    def told(self, what: str) -> None:
        now, most = rss_mib(self.process.pid)
        print(f"| {what} | {now:.0f} | {most:.0f} | {self._inside.words()} |", flush=True)


def fill(port: int, expiring: bool) -> int:
    """Until -OOM: how many counters there are then."""
    made = 0
    with socket.create_connection((HOST, port)) as s, s.makefile("rb") as replies:
        end = b"$2\r\nEX\r\n$7\r\n1000000\r\n" if expiring else b""
        head = b"*%d\r\n$3\r\nSET\r\n$30\r\n" % (5 if expiring else 3)
        while True:
            names = range(made, made + BATCH)
            s.sendall(b"".join(head + b"counter:%022d\r\n$7\r\n1234567\r\n" % n + end for n in names))
            answers = [replies.readline() for _ in names]
            made += sum(answer == b"+OK\r\n" for answer in answers)
            if refused := [answer for answer in answers if answer[:1] == b"-"]:
                print(f"{made:,} counters, then {refused[0].decode().strip()}")
                return made


def snapshot(node: Member) -> None:
    """However long it takes on a busy machine."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        with contextlib.suppress(Exception):
            connect(node.admin).execute_command("RAFT.SNAPSHOT")
            return
    raise TimeoutError("no snapshot")


def measure(limit: int, *, expiring: bool) -> None:
    with contextlib.ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="countercluster-container-"))) for _ in range(2)]
        first, second = (Member(f, stack.enter_context(group(limit, f"{n}")), limit) for n, f in enumerate(folders))
        first.begin()
        stack.callback(first.stop)
        fill(first.resp, expiring)
        print("| | MiB | at most | |\n|---|---:|---:|---|")
        first.told("full")
        assert connect(first.resp).incr(f"counter:{5:022d}") > 1_000_000, "what exists goes on"
        snapshot(first)
        first.told("a snapshot was taken")
        second.begin(leader=first)
        stack.callback(second.stop)
        second.serves(f"counter:{5:022d}")
        second.told("a new member received it")
        first.stop()
        first.begin()
        first.told("started again")
        if expiring:
            return
        connect(first.resp).flushall()
        time.sleep(5)
        first.told("after FLUSHALL")


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.container", description=__doc__)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--expiring", action="store_true", help="each counter has an expiry")
    options = parser.parse_args()
    measure(options.mib << 20, expiring=options.expiring)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
