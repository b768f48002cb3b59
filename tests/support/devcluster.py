"""A devcluster as a test uses it: real node processes on loopback, started by the test and ended by
it, by pid."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.begun import whole

ROOT = Path(__file__).resolve().parents[2]

_LINE = re.compile(r"node (\d+) pid (\d+) resp [\d.]+:(\d+)")


def free_port_range(count: int) -> int:
    """First of `count` ports in a row that are free now."""
    for start in range(20_000 + os.getpid() % 8_000, 32_000, count):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(start, start + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return start
    raise AssertionError("no free ports")


class DevCluster:
    ready_s = 150.0

    def __init__(
        self,
        directory: Path,
        nodes: int = 3,
        *options: str,
        restart: bool = True,
        cluster_mode: bool = False,
        environment: dict[str, str] | None = None,
        wrapper: tuple[str, ...] = (),
    ) -> None:
        """`wrapper`: a command that ends by running the words after it. With COUNTER_TLS_DIR in
        `environment`, `client_options` and `admin_options` are to be set to what
        certificates.Folder gives."""
        self._wrapper = wrapper
        self.directory = directory
        self.size = nodes
        self.port = free_port_range(2 * nodes if cluster_mode else nodes)
        self._cluster_mode = cluster_mode
        self._options = options
        self._restart = restart
        self._environment = environment or {}
        self._process: subprocess.Popen[str] | None = None
        self._pids: dict[int, int] = {}
        self._ready = threading.Event()
        self.output: list[str] = []
        self.client_options: dict[str, Any] = {}
        self.admin_options: dict[str, Any] = {}

    def __enter__(self) -> Self:
        with whole(self.__exit__):
            self.start()
            assert self._ready.wait(self.ready_s), (
                f"the devcluster is not ready after {self.ready_s} s: {self.output}\n{self.logs()}"
            )
        return self

    def start(self) -> None:
        """Returns at once, whatever becomes of it; `__exit__` ends it."""
        command = [
            *self._wrapper,
            sys.executable,
            "-m",
            "counter_node.devcluster",
            "--nodes",
            str(self.size),
            "--port",
            str(self.port),
        ]
        command += (
            ["--dir", str(self.directory)]
            + ["--no-restart"] * (not self._restart)
            + ["--cluster-mode"] * self._cluster_mode
        )
        if self._options:
            command += ["--", *self._options]
        path = os.pathsep.join(str(ROOT / room) for room in ("node_image", "client"))
        environment = {**os.environ, "PYTHONPATH": path, **self._environment}
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        threading.Thread(target=self._read, daemon=True).start()

    def __exit__(self, kind: object = None, *_: object) -> None:
        if kind is not None:  # pytest shows it with the failure
            print(self.output, self.logs(40), sep="\n")
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output.append(line.rstrip())
            if match := _LINE.match(line):
                self._pids[int(match[1])] = int(match[2])
            if line.strip() == "ready":
                self._ready.set()

    def pid(self, node: int) -> int:
        return self._pids[node]

    @property
    def keeper_pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def resp_port(self, node: int) -> int:
        return self.port + node

    def cluster_port(self, node: int) -> int:
        return self.port + self.size + node

    @property
    def urls(self) -> list[str]:
        return [f"redis://{self.host(n)}:{self.resp_port(n)}" for n in range(self.size)]

    def signal(self, node: int, which: signal.Signals) -> None:
        os.kill(self._pids[node], which)

    def host(self, node: int) -> str:
        path = self.directory / f"node-{node}" / "ports.json"
        return (
            str(json.loads(path.read_text()).get("host", "127.0.0.1"))
            if path.exists()
            else "127.0.0.1"
        )

    def ports(self, node: int) -> dict[str, int]:
        found: dict[str, int] = json.loads(
            (self.directory / f"node-{node}" / "ports.json").read_text()
        )
        return found

    def client(self, node: int, **options: Any) -> redis.Redis:
        """redis-py without its own retries: it would repeat increments
        (docs/reference/clients.md)."""
        chosen: dict[str, Any] = {"socket_timeout": 30, **self.client_options, **options}
        return redis.Redis(
            host=self.host(node), port=self.resp_port(node), retry=Retry(NoBackoff(), 0), **chosen
        )

    def admin(self, node: int, *command: str) -> Any:
        where: dict[str, Any] = {
            "host": self.host(node),
            "port": self.ports(node)["admin"],
            **self.admin_options,
        }
        with redis.Redis(**where, retry=Retry(NoBackoff(), 0), socket_timeout=30) as client:
            return client.execute_command(*command)

    def status(self, node: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.admin(node, "RAFT.STATUS"))
        return found

    def wait_answer(
        self, node: int, *, other_than: str = "", timeout_s: float = 150
    ) -> dict[str, Any]:
        """The status of a node that is being started, as soon as it answers; with `other_than`,
        under another id than that."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            with contextlib.suppress(redis.RedisError, OSError):
                status = self.status(node)
                if status["nodeId"] != other_than:
                    return status
            time.sleep(0.05)
        raise AssertionError(f"node {node} does not answer within {timeout_s} s\n{self.logs()}")

    def read(self, node: int, key: str, timeout_s: float = 150) -> int:
        """What the node answers, as soon as it answers: it may be dying, starting or without a
        leader at this moment. An answer is final."""
        end = time.monotonic() + timeout_s
        while True:
            try:
                with self.client(node) as client:
                    return int(client.get(key) or 0)
            except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError) as error:
                if isinstance(error, redis.ResponseError) and not str(error).startswith("UNKNOWN"):
                    raise
                problem = str(error)
            assert time.monotonic() < end, (
                f"node {node} does not answer within {timeout_s} s: {problem}\n{self.logs()}"
            )
            time.sleep(0.05)

    def wait_output(self, text: str, count: int = 1, timeout_s: float = 150) -> None:
        """Until so many lines of the devcluster have the text."""
        end = time.monotonic() + timeout_s
        while sum(text in line for line in self.output) < count:
            assert time.monotonic() < end, (
                f"{text!r} not {count} times within {timeout_s} s: {self.output}\n{self.logs()}"
            )
            time.sleep(0.05)

    def kill_and_wait(self, node: int, timeout_s: float = 150) -> None:
        """SIGKILL; returns when another process of that node is there and serves as a voter."""
        old, end = self._pids[node], time.monotonic() + timeout_s
        os.kill(old, signal.SIGKILL)
        while self._pids[node] == old:
            assert time.monotonic() < end, (
                f"node {node} is not started again within {timeout_s} s: {self.output}"
            )
            time.sleep(0.02)
        self.wait_ready(timeout_s)

    def leader(self, timeout_s: float = 150) -> int:
        """The node that leads the newest term."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            leaders = []
            for node in range(self.size):
                with contextlib.suppress(redis.RedisError, OSError):
                    status = self.status(node)
                    if status["role"] == "leader":
                        leaders.append((status["term"], node))
            if leaders:
                return max(leaders)[1]
            time.sleep(0.05)
        raise AssertionError(f"no leader within {timeout_s} s\n{self.logs()}")

    def wait_ready(self, timeout_s: float = 150) -> None:
        """Every node is a voter that serves."""
        end = time.monotonic() + timeout_s
        waiting = set(range(self.size))
        while waiting:
            for node in list(waiting):
                with contextlib.suppress(redis.RedisError, OSError):
                    if self.status(node)["ready"]:
                        waiting.discard(node)
            if time.monotonic() > end:
                raise AssertionError(
                    f"nodes {waiting} are not ready after {timeout_s} s\n{self.logs()}"
                )
            time.sleep(0.05)

    def logs(self, lines: int = 15) -> str:
        """The end of every node's log, for a failing test."""
        parts = []
        for node in range(self.size):
            path = self.directory / f"node-{node}" / "log"
            if path.exists():
                parts.append(
                    f"--- node {node}\n"
                    + "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
                )
        return "\n".join(parts)
