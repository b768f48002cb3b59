"""What a system under test is: processes in a folder of their own, started, waited for, ended."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from benchmarks import limiter_scripts
from benchmarks.scenarios import Scenario
from benchmarks.tools import Tools

HOST = "127.0.0.1"
START_S = 60.0


class NotStarted(Exception):
    """A system did not start; the message says which and where its log is."""


def leads(port: int) -> bool:
    """Asks a peer whose thin server knows no handshake of redis-py."""
    with socket.create_connection((HOST, port), timeout=5) as s:
        s.sendall(b"*1\r\n$7\r\nLEADING\r\n")
        return s.recv(64) == b"+LEADER\r\n"


def address(port: int) -> str:
    return f"{HOST}:{port}"


def connect(port: int) -> redis.Redis:
    return redis.Redis(
        host=HOST,
        port=port,
        socket_timeout=5,
        retry=Retry(NoBackoff(), 0),
        single_connection_client=True,
    )


def wait_for(what: str, ready: Callable[[], bool]) -> None:
    end = time.monotonic() + START_S
    while True:
        with contextlib.suppress(
            RedisError, OSError, KeyError, ValueError, subprocess.SubprocessError
        ):
            if ready():
                return
        if time.monotonic() > end:
            raise NotStarted(f"{what}: not ready within {START_S:.0f} s")
        time.sleep(0.05)


class System:
    """One running cluster. `leader` and `ports` are of the clients' protocol; `processes` is named
    after what each process does."""

    name = ""
    title = ""
    increment = "incr"  # mode of the load generator that makes one acknowledged increment
    environment: ClassVar[dict[str, str]] = {}
    rate_of = ""  # on a timetable: at the rate of this system instead of its own

    def __init__(self, tools: Tools, nodes: int, directory: Path) -> None:
        self.tools, self.nodes, self.directory = tools, nodes, directory
        self.processes: dict[str, int] = {}  # name -> pid
        self.ports: list[int] = []
        self.leader = 0  # index into ports
        self._children: list[subprocess.Popen[bytes]] = []
        directory.mkdir(parents=True)

    @classmethod
    def can(cls, scenario: Scenario) -> bool:
        """Whether the scenario makes sense for this system."""
        return (
            scenario.mode in {"incr", "get", "mixed"}
            and scenario.through != "follower"
            and not scenario.disturb
        )

    def start(self) -> None:
        raise NotImplementedError

    def spawn(self, name: str, *command: str | Path) -> subprocess.Popen[bytes]:
        with (self.directory / f"{name}.log").open("ab") as log:
            words, environment = [str(word) for word in command], os.environ | self.environment
            child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=environment,
            )
        self._children.append(child)
        self.processes[name] = child.pid
        return child

    def targets(self, scenario: Scenario) -> list[str]:
        return [address(self.ports[self.leader])]

    def load_command(self, scenario: Scenario, seconds: float, rate: float) -> list[str]:
        mode = {"incr": self.increment}.get(scenario.mode, scenario.mode)
        script: list[str] = []
        if scenario.script:
            mode = {"incrwait": "scriptwait"}.get(self.increment, "script")
            script = ["-s", self._loaded(limiter_scripts.SCRIPTS[scenario.script])]
        words = [
            str(self.tools.loadgen),
            "-a",
            ",".join(self.targets(scenario)),
            "-c",
            str(scenario.connections),
            "-P",
            str(scenario.pipeline),
        ]
        return [
            *words,
            *script,
            "-k",
            str(scenario.keys),
            "-m",
            mode,
            "-g",
            "90",
            "-t",
            str(seconds),
            "-r",
            str(rate),
        ]

    def _loaded(self, script: str) -> str:
        """Its SHA-1, when every server knows it."""
        for port in self.ports:
            with connect(port) as client:
                client.script_load(script)
        return limiter_scripts.sha_of(script)

    @contextlib.contextmanager
    def disturbed(self, scenario: Scenario) -> Iterator[None]:
        yield

    def find_leader(self) -> bool:
        self.leader = next((index for index, port in enumerate(self.ports) if leads(port)), -1)
        return self.leader >= 0

    def stop(self) -> None:
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
        for child in self._children:
            try:
                child.wait(timeout=20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
