"""`python -m benchmarks.large`: a node with a million counters: its memory, its pauses during a
snapshot, its start from the log that it keeps by itself, and from a longer one than it would ever
keep."""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from counter_node.ports import free_ports

from benchmarks.system import HOST, connect, wait_for

BATCH = 2_000
PARTS = 8
MOST_PARTS = 40 * PARTS
_LONG = (
    "import sys; from counter_node import __main__; from counter_node.node import snapshot_taker; "
    "snapshot_taker.LEAST_LOG_BYTES = 1 << 40; sys.exit(__main__.main())"
)
"""A node that takes no snapshot of its own accord."""


def rss_mib(pid: int) -> tuple[float, float]:
    """Resident memory of a process now, and at its highest."""
    lines = [
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("Vm")
    ]
    found = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines}
    return found["VmRSS"], found["VmHWM"]


class Node:
    wrapper: tuple[str, ...] = ()
    """A command that ends by running the words after it."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory, self.options = directory, options
        self.resp, self.admin, self.peer, self.http = free_ports(4)

    def start(self, *, long_log: bool = False) -> float:
        """Seconds until it answers a read."""
        begin = time.monotonic()
        self.launch(long_log=long_log)
        wait_for("the node", lambda: bool(connect(self.admin).ping()))
        status = json.loads(connect(self.admin).execute_command("RAFT.STATUS"))
        if status["role"] == "waiting":
            connect(self.admin).execute_command("RAFT.BOOTSTRAP", status["nodeId"])
        wait_for("the node", lambda: connect(self.resp).get("any") is None)
        return time.monotonic() - begin

    def launch(self, *, long_log: bool = False) -> None:
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self.wrapper, sys.executable, *(("-c", _LONG) if long_log else ("-m",
                    "counter_node")),
                    "--cluster-id", "large", "--data-dir", str(self.directory / "data"), "--bind",
                    HOST,
                    "--resp-port", str(self.resp), "--admin-port", str(self.admin), "--peer-port",
                    str(self.peer), "--http-port", str(self.http),
                    *self.options,
                ],
                stdout=log, stderr=log,
            )  # fmt: skip

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def log_mib(self) -> float:
        """Of log after the newest snapshot."""
        with urllib.request.urlopen(f"http://{HOST}:{self.http}/metrics") as page:
            line = next(
                line
                for line in page.read().decode().splitlines()
                if line.startswith("counter_log_size_bytes ")
            )
        return float(line.split()[1]) / (1 << 20)

    def fill(self, keys: int, rounds: int = 1, first: int = 0) -> None:
        """Increments each of `keys` counters, from number `first` on, `rounds` times."""
        with socket.create_connection((HOST, self.resp)) as s, s.makefile("rb") as replies:
            for number in range(rounds):
                for start in range(first, first + keys, BATCH):
                    batch = range(start, min(start + BATCH, first + keys))
                    s.sendall(
                        b"".join(
                            b"*2\r\n$4\r\nINCR\r\n$20\r\ncounter:%012d\r\n" % key for key in batch
                        )
                    )
                    for key in batch:
                        answer = replies.readline()
                        assert answer.startswith(b":"), f"counter {key}, round {number}: {answer!r}"


class Pauses:
    """Increments one counter again and again, and keeps the longest time that took."""

    def __init__(self, port: int) -> None:
        self.took: list[float] = []
        self._over = threading.Event()
        self._port = port
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with socket.create_connection((HOST, self._port)) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not self._over.is_set():
                begin = time.monotonic()
                s.sendall(b"*2\r\n$4\r\nINCR\r\n$5\r\nprobe\r\n")
                s.recv(100)
                self.took.append(1000 * (time.monotonic() - begin))

    def __enter__(self) -> Pauses:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def words(self) -> str:
        ordered = sorted(self.took)
        return (
            f"median {ordered[len(ordered) // 2]:.2f}, 99th percentile "
            f"{ordered[int(0.99 * len(ordered))]:.2f}, longest {ordered[-1]:.2f} ms"
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.large", description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--log-mib", type=int, default=256)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="countercluster-large-") as directory:
        node = Node(Path(directory), "--snapshot-bytes", str(2 << 30))
        try:
            measure(node, options.keys, options.log_mib)
        finally:
            node.stop()
    return 0


def measure(node: Node, keys: int, log_mib: int) -> None:
    print(f"empty: starts in {node.start():.2f} s, {rss_mib(node.process.pid)[0]:.0f} MiB")
    begin = time.monotonic()
    node.fill(keys)
    print(
        f"{keys:,} counters made in {time.monotonic() - begin:.1f} s; "
        f"{rss_mib(node.process.pid)[0]:.0f} MiB"
    )
    with Pauses(node.resp) as pauses:
        time.sleep(2)
    print(f"increments of one client, at rest: {pauses.words()}")
    with Pauses(node.resp) as pauses:
        begin = time.monotonic()
        connect(node.admin).execute_command("RAFT.SNAPSHOT")
        wait_for("the snapshot", lambda: any((node.directory / "data").rglob("*snap*")))
        time.sleep(3)
    now, most = rss_mib(node.process.pid)
    print(
        f"increments of one client, during a snapshot: {pauses.words()}; {now:.0f} MiB, at most "
        f"{most:.0f}"
    )
    node.fill(keys, rounds=2)
    print(f"every counter again, twice: {rss_mib(node.process.pid)[0]:.0f} MiB")
    again(node, "with the log that it keeps", long_log=True)
    for part in range(MOST_PARTS):
        if node.log_mib() >= log_mib:
            break
        node.fill(keys // PARTS, first=part % PARTS * (keys // PARTS))
    again(node, "with a log that no node would keep", long_log=False)


def again(node: Node, log: str, *, long_log: bool) -> None:
    """The node killed and started."""
    size = node.log_mib()
    node.stop()
    took = node.start(long_log=long_log)
    now, most = rss_mib(node.process.pid)
    print(f"started again {log} ({size:.0f} MiB): {took:.2f} s; {now:.0f} MiB, at most {most:.0f}")


if __name__ == "__main__":
    sys.exit(main())
