"""The operator as a process of its own against an API server: what runs in its pod, without the
pod."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from counter_node.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]


class Operator:
    """`name` is the pod's: who holds the Lease. Logs go to `folder/name.log`, over all its
    lives."""

    def __init__(
        self, kubeconfig: Path, folder: Path, name: str = "operator-0", **environment: str
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.port = free_ports(1)[0]
        path = os.pathsep.join(str(p) for p in (ROOT / "operator",))
        self._environment = {
            **os.environ,
            "PYTHONPATH": path,
            "KUBECONFIG": str(kubeconfig),
            "POD_NAME": name,
            "POD_NAMESPACE": "countercluster-system",
            "HEALTH_PORT": str(self.port),
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    @contextlib.contextmanager
    def kept(self) -> Iterator[Self]:
        """For tests that are not about its ends: it has not ended by itself."""
        with self:
            yield self
            assert self.running, f"{self.name} ended:\n{self.tail()}"

    def complaints(self) -> list[dict[str, Any]]:
        """Lines that tell of an error."""
        return [
            line
            for line in self.lines()
            if line["level"] in ("error", "critical") or "exception" in line
        ]

    def start(self) -> Self:
        with self.log.open("ab") as file:
            command = [sys.executable, "-m", "countercluster_operator"]
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=self._environment
            )
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def signal(self, which: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(which)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def end(self, timeout_s: float = 60) -> int:
        """SIGTERM, as Kubernetes does it; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = 60) -> int:
        assert self.process is not None
        return self.process.wait(timeout_s)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def page(self, path: str) -> tuple[int, str]:
        """Status and text of `/healthz`, `/readyz` or `/metrics`; 0 while nobody listens."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}{path}", timeout=20
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str) -> float:
        """The value of a metric without labels; 0 while it is not there."""
        found = re.search(rf"^{name} (\S+)$", self.page("/metrics")[1], re.MULTILINE)
        return float(found[1]) if found else 0.0

    def rss_mib(self) -> float:
        text = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE)
        assert found is not None
        return int(found[1]) / 1024

    def lines(self) -> list[dict[str, Any]]:
        """What it logged; every line is one JSON object."""
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def wait_for(self, message: str, timeout_s: float = 150, count: int = 1) -> dict[str, Any]:
        """The log line that says so."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            with contextlib.suppress(ValueError):  # a line that is half written
                found = [line for line in self.lines() if message in line["msg"]]
                if len(found) >= count:
                    return found[count - 1]
            time.sleep(0.05)
        raise AssertionError(
            f"{self.name} did not say {message!r} within {timeout_s} s:\n{self.tail()}"
        )

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text().splitlines()[-lines:]) if self.log.exists() else ""
