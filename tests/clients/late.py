"""Programs of stock clients that count while the answers come late or their node is cut off, and
what they tell. See stock/README.md."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence

from tests.clients.stock.build import CLIENTS, GO, HERE, JVM, NODE

WORKERS = 4
GOOD = "<nil>"
NAMES = [client.name for client in CLIENTS if client.name != "redis-cli"]
_JAVA = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-cp")


def command(client: str) -> list[str]:
    """Raises ToolMissing."""
    if client == "go-redis":
        return [str(GO.made() / "program")]
    if client in ("ioredis", "node-redis"):
        return ["node", str(NODE.made() / "slow.mjs"), client]
    if client in ("Jedis", "Lettuce"):
        place = JVM.made()
        return [*_JAVA, f"{place}/classes:{place}/jars/*", "SlowProgram", client.lower()]
    return [
        sys.executable,
        str(HERE / "redis_py_slow.py"),
        "asyncio" if "asyncio" in client else "blocking",
    ]


class Slow:
    """Four increments, each by a worker of its own."""

    def __init__(
        self, client: str, where: str, port: int, key: str, timeout_ms: int, remedy: str
    ) -> None:
        """`timeout_ms` 0: the client's own."""
        words = [
            *command(client),
            "slow",
            where,
            str(port),
            key,
            str(timeout_ms),
            *([remedy] if remedy else []),
        ]
        self._process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def outcome(self, most_s: float) -> dict[str, int]:
        """Error, or `GOOD`, → how often."""
        out, _ = self._process.communicate(timeout=most_s)
        found: dict[str, int] = json.loads(
            next((line for line in out.splitlines() if line.startswith("{")), "{}")
        )
        return found

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


class Pool:
    """Four workers that share one client and count until `end`."""

    def __init__(self, client: str, ports: Sequence[int], key: str, remedy: str) -> None:
        words = [
            *command(client),
            "pool",
            "cluster",
            ",".join(map(str, ports)),
            key,
            "0",
            *([remedy] if remedy else []),
        ]
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.answered_s: list[float] = []
        self.errors: Counter[str] = Counter()
        self.moved = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        """Lines are `<start, ms since 1970> <ms> <error or GOOD>`; Lettuce writes traces of its own
        between them."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            words = line.rstrip().split(" ", 2)
            if len(words) == 3 and words[0].isdigit() and words[1].isdigit():
                if words[2] == GOOD:
                    self.answered_s.append((int(words[0]) + int(words[1])) / 1000)
                else:
                    self.errors[words[2].split(":", 1)[-1].strip().split()[0]] += 1

    def answered_since(self, start_s: float) -> int:
        """By `time.time()`."""
        return sum(moment > start_s for moment in list(self.answered_s))

    def silent_s(self) -> float:
        """The longest time without an answer."""
        moments = sorted(self.answered_s)
        return max((after - before for before, after in itertools.pairwise(moments)), default=0.0)

    def end(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(10)


def wait_answers(pools: Sequence[Pool], since_s: float, least: int, most_s: float) -> list[Pool]:
    """Until each had so many. Those that had not, at the end."""
    end = time.monotonic() + most_s
    while (
        left := [pool for pool in pools if pool.answered_since(since_s) < least]
    ) and time.monotonic() < end:
        time.sleep(0.05)
    return left
