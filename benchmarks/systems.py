"""The systems under test: each is started in a folder of its own on the real disk, with free ports
of loopback, and ended again."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from counter_node.ports import free_ports
from redis.exceptions import RedisError

from benchmarks.scenarios import Scenario
from benchmarks.system import HOST, System, address, connect, wait_for


class Ours(System):
    name, title = "ours", "CounterCluster"

    @classmethod
    def can(cls, scenario: Scenario) -> bool:
        return scenario.mode != "cas"

    def start(self) -> None:
        first = free_ports(1)[0]
        while not _all_free(range(first, first + self.nodes)):
            first = free_ports(1)[0]
        self.ports = list(range(first, first + self.nodes))
        where = ("--nodes", str(self.nodes), "--port", str(first), "--dir", self.directory / "data")
        self.spawn(
            "devcluster", sys.executable, "-m", "counter_node.devcluster", *where, "--no-restart"
        )
        log = self.directory / "devcluster.log"
        wait_for(f"CounterCluster, see {log}", lambda: log.read_text().endswith("ready\n"))
        pids = [
            int(line.split()[3])
            for line in log.read_text().splitlines()
            if line.startswith("node ")
        ]
        self.processes = {}
        for index in range(self.nodes):
            if self._status(index)["role"] == "leader":
                self.leader = index
        followers = itertools.count(1)
        for index, pid in enumerate(pids[: self.nodes]):
            self.processes["leader" if index == self.leader else f"follower {next(followers)}"] = (
                pid
            )

    def _admin_port(self, index: int) -> int:
        found: dict[str, int] = json.loads(
            (self.directory / "data" / f"node-{index}" / "ports.json").read_text()
        )
        return found["admin"]

    def _status(self, index: int) -> dict[str, object]:
        with connect(self._admin_port(index)) as client:
            found: dict[str, object] = json.loads(client.execute_command("RAFT.STATUS"))
            return found

    def targets(self, scenario: Scenario) -> list[str]:
        if scenario.through == "spread":
            return [address(port) for port in self.ports]
        if scenario.through == "follower":
            return [address(self.ports[(self.leader + 1) % self.nodes])]
        return super().targets(scenario)

    @contextlib.contextmanager
    def disturbed(self, scenario: Scenario) -> Iterator[None]:
        if scenario.disturb != "snapshot":
            yield
            return
        over = threading.Event()

        def snapshots() -> None:
            while not over.wait(0.2):
                for index in range(self.nodes):
                    with (
                        contextlib.suppress(RedisError),
                        connect(self._admin_port(index)) as client,
                    ):
                        client.execute_command("RAFT.SNAPSHOT")

        thread = threading.Thread(target=snapshots)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


class Pure(Ours):
    """What the compiled modules come to: `--systems ours,pure`."""

    name, title = "pure", "CounterCluster, nothing compiled"
    environment: ClassVar[dict[str, str]] = {"COUNTER_PURE": "1"}


def _all_free(ports: range) -> bool:
    for port in ports:
        with socket.socket() as s:
            try:
                s.bind((HOST, port))
            except OSError:
                return False
    return True


class Redis(System):
    name, title = "redis", "Redis, AOF always (single: the ceiling)"

    @classmethod
    def can(cls, scenario: Scenario) -> bool:
        plain = super().can(scenario) or scenario.mode == "script"
        return plain and scenario.nodes <= 3

    def start(self) -> None:
        self.ports = [self._server("redis")]

    def _server(self, name: str, *options: str) -> int:
        port = free_ports(1)[0]
        data = self.directory / name
        data.mkdir()
        durable = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")
        self.spawn(
            name,
            "redis-server",
            "--port",
            str(port),
            "--bind",
            HOST,
            "--dir",
            data,
            *durable,
            *options,
        )
        wait_for(f"redis, see {self.directory / name}.log", lambda: bool(connect(port).ping()))
        return port


class Floor(Redis):
    """What a timetable measures of a server that has next to nothing to do: the machine's stalls,
    and the generator's own waiting for a core."""

    name, title, rate_of = "floor", "Redis without a disk (single), at our rate", "ours"

    @classmethod
    def can(cls, scenario: Scenario) -> bool:
        return bool(scenario.half_rate_of)

    def start(self) -> None:
        self.ports = [self._server("redis", "--appendonly", "no")]


class RedisWait(Redis):
    name, title, increment = "redis-wait", "Redis, AOF always, INCR + WAIT 1", "incrwait"

    @classmethod
    def can(cls, scenario: Scenario) -> bool:
        return (
            (System.can(scenario) or scenario.mode == "script")
            and scenario.mode != "mixed"
            and not scenario.reads
            and scenario.nodes == 3
        )

    def start(self) -> None:
        self.ports = [self._server("leader")]
        for index in range(1, self.nodes):
            self._server(f"follower {index}", "--replicaof", f"{HOST} {self.ports[0]}")
        master = connect(self.ports[0])
        wait_for(
            "the replicas of redis",
            lambda: (
                bool(master.incr("started")) and master.wait(self.nodes - 1, 100) == self.nodes - 1
            ),
        )


class Etcd(System):
    name, title, increment = "etcd", "etcd 3.7", "put"

    @classmethod
    def can(cls, scenario: Scenario) -> bool:
        return scenario.pipeline == 1 and not scenario.disturb and scenario.through != "follower"

    def start(self) -> None:
        self.ports = free_ports(self.nodes)
        peers = free_ports(self.nodes)
        cluster = ",".join(f"n{i}=http://{address(port)}" for i, port in enumerate(peers))
        for i, (client, peer) in enumerate(zip(self.ports, peers, strict=True)):
            self.spawn(
                f"node {i}", self.tools.etcd, "--name", f"n{i}", "--data-dir",
                self.directory / f"n{i}", "--log-level", "error",
                "--listen-client-urls", f"http://{address(client)}", "--advertise-client-urls",
                f"http://{address(client)}",
                "--listen-peer-urls", f"http://{address(peer)}", "--initial-advertise-peer-urls",
                f"http://{address(peer)}",
                "--initial-cluster", cluster,
            )  # fmt: skip
        words = [
            str(self.tools.etcdload),
            "-a",
            ",".join(map(address, self.ports)),
            "-c",
            "1",
            "-t",
            "0.2",
            "-u",
            "0",
            "-m",
            "put",
        ]

        def ready() -> bool:
            answer = subprocess.run(words, capture_output=True, timeout=10, check=True)
            return bool(json.loads(answer.stdout)["operations"] > 0)

        wait_for(f"etcd, see {self.directory}", ready)

    def load_command(self, scenario: Scenario, seconds: float, rate: float) -> list[str]:
        mode = {"incr": self.increment}.get(scenario.mode, scenario.mode)
        words = [
            str(self.tools.etcdload),
            "-a",
            ",".join(map(address, self.ports)),
            "-c",
            str(scenario.connections),
            "-k",
            str(scenario.keys),
        ]
        return [*words, "-m", mode, "-t", str(seconds), "-r", str(rate)]


class Hashicorp(System):
    name, title = "hashicorp", "hashicorp/raft 1.8, raft-wal"

    @classmethod
    def can(cls, scenario: Scenario) -> bool:
        return super().can(scenario) and scenario.mode != "mixed"

    def start(self) -> None:
        self.ports = free_ports(self.nodes)
        peers = ",".join(map(address, free_ports(self.nodes)))
        for i in reversed(range(self.nodes)):  # the first makes the cluster when the others listen
            data = self.directory / f"n{i}"
            self.spawn(
                f"node {i}",
                self.tools.hashicorp,
                "-i",
                str(i),
                "-peers",
                peers,
                "-listen",
                address(self.ports[i]),
                "-dir",
                data,
            )
        wait_for(f"hashicorp/raft, see {self.directory}", self.find_leader)


class PySyncObj(System):
    name, title = "pysyncobj", "PySyncObj 0.3 (no fsync)"

    @classmethod
    def can(cls, scenario: Scenario) -> bool:
        return super().can(scenario) and scenario.mode == "incr" and scenario.nodes == 3

    def start(self) -> None:
        self.ports = free_ports(self.nodes)
        peers = ",".join(map(address, free_ports(self.nodes)))
        for i in range(self.nodes):
            self.spawn(
                f"node {i}", sys.executable, Path(__file__).parent / "peers" / "pysyncobj_node.py",
                str(i), peers, address(self.ports[i]), self.directory / f"n{i}.journal",
            )  # fmt: skip
        wait_for(f"PySyncObj, see {self.directory}", self.find_leader)


SYSTEMS: tuple[type[System], ...] = (Ours, Etcd, RedisWait, Redis, Floor, Hashicorp, PySyncObj)
_EVERY: tuple[type[System], ...] = (*SYSTEMS, Pure)
BY_NAME = {s.name: s for s in _EVERY}

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
