"""How long a node's loop was held, by whom, and what a client saw of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.large import Node
from benchmarks.system import HOST

PATIENCE_S = 1_800.0
GOAL_MS = 20.0
REPORT = "COUNTER_HELD_REPORT"
_NODE = "import sys; from benchmarks import held; sys.exit(held.node())"


class Longest:
    """The longest callback since the last report, by both clocks, and what it was."""

    def __init__(self) -> None:
        self.cpu_ms = self.wall_ms = 0.0
        self.cpu_of = self.wall_of = ""
        self.over = 0

    def add(self, cpu_s: float, wall_s: float, callback: object) -> None:
        if 1000 * cpu_s > self.cpu_ms:
            self.cpu_ms, self.cpu_of = (
                1000 * cpu_s,
                getattr(callback, "__qualname__", repr(callback)[:80]),
            )
        if 1000 * wall_s > self.wall_ms:
            self.wall_ms, self.wall_of = (
                1000 * wall_s,
                getattr(callback, "__qualname__", repr(callback)[:80]),
            )
        self.over += 1000 * cpu_s > GOAL_MS


class Timed(Node):
    """A node that tells what held its loop."""

    def launch(self, *, long_log: bool = False) -> None:
        self.report = self.directory / "held"
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-c", _NODE, "--cluster-id", "held", "--data-dir",
                    str(self.directory / "data"), "--bind", HOST,
                    "--resp-port", str(self.resp), "--admin-port", str(self.admin), "--peer-port",
                    str(self.peer), "--http-port", str(self.http),
                    *self.options,
                ],
                stdout=log, stderr=log, env={**os.environ, REPORT: str(self.report)},
            )  # fmt: skip

    def held(self) -> dict[str, Any]:
        self.report.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        until("the report", self.report.exists)
        found: dict[str, Any] = json.loads(self.report.read_text())
        return found


def until(what: str, ready: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(Exception):
            if ready():
                return
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not done within {PATIENCE_S:.0f} s")
        time.sleep(0.05)
