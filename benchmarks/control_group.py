"""A control group with a limit of memory, and a node in it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.large import Node
from benchmarks.system import HOST, connect

PATIENCE_S = 900.0
MIB = 1 << 20
V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


class Group:
    """Of memory; without a path nothing is enforced."""

    def __init__(self, path: Path | None, peak: str, events: str) -> None:
        self.path, self._peak, self._events = path, peak, events

    @property
    def wrapper(self) -> tuple[str, ...]:
        """So that every page of the process counts."""
        return (
            ()
            if self.path is None
            else ("/bin/sh", "-c", 'echo $$ > "$0"; exec "$@"', str(self.path / "cgroup.procs"))
        )

    @property
    def kills(self) -> int:
        if self.path is None:
            return 0
        words = (self.path / self._events).read_text().split()
        return int(words[words.index("oom_kill") + 1])

    @property
    def peak_mib(self) -> float:
        return 0.0 if self.path is None else int((self.path / self._peak).read_text()) / MIB


@contextlib.contextmanager
def group(limit: int, name: str) -> Iterator[Group]:
    for root, file, peak, events in (
        (V1, "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control"),
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
                if root is V2:
                    (path / "memory.swap.max").write_text("0")
            except OSError:
                continue
            yield Group(path, peak, events)
            return
        finally:
            removed(path)
    yield Group(None, "", "")


def removed(path: Path) -> None:
    """Its process has just ended."""
    for _ in range(50):
        with contextlib.suppress(OSError):
            path.rmdir()
            return
        time.sleep(0.1)


class Member(Node):
    def __init__(self, directory: Path, inside: Group, limit: int) -> None:
        # A learner that takes long would refuse its clients, and is not made a voter here.
        super().__init__(directory, "--memory-bytes", str(limit), "--unready-close-s", "0")
        self.inside, self.wrapper = inside, inside.wrapper

    def begin(self, leader: Node | None = None) -> str:
        """Until it answers; as the first of a cluster, or a learner of `leader`'s. Its id."""
        self.launch()
        self.until("start", lambda: connect(self.admin).ping())
        status = self.status()
        node_id = str(status["nodeId"])
        if leader is not None:
            words = node_id, f"n{self.peer}", f"{HOST}:{self.peer}", f"{HOST}:{self.resp}"
            connect(leader.admin).execute_command("RAFT.ADDLEARNER", *words)
        elif status["role"] == "waiting":
            connect(self.admin).execute_command("RAFT.BOOTSTRAP", node_id)
        return node_id

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(connect(self.admin).execute_command("RAFT.STATUS"))
        return found

    def until(self, what: str, ready: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(
                    f"{what}: the node ended with {self.process.returncode}; killed at its "
                    f"limit: {self.inside.kills} times"
                )
            with contextlib.suppress(Exception):
                if ready():
                    return
            time.sleep(0.2)
        raise TimeoutError(f"{what}: not done within {PATIENCE_S:.0f} s")

    def serves(self, counter: str) -> None:
        self.until("reads", lambda: connect(self.resp).get(counter) is not None)
