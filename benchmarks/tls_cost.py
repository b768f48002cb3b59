"""What does TLS cost? `python -m benchmarks.tls_cost`, about a minute; needs redis-benchmark.

Three node processes on loopback, in plain text and with TLS on every port, in turn: `INCR` of one
counter at the leader over many connections without pipelines. For each: commands a second, the
median of the times that a command took, and the processor time of the leader for one command. The
last depends least on what else the machine does."""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificates import Folder
from tests.support.devcluster import DevCluster


@dataclass(frozen=True)
class Figures:
    a_second: float
    median_ms: float
    leader_us: float

    def __str__(self) -> str:
        return f"{self.a_second:8.0f}/s {self.median_ms:6.2f} ms {self.leader_us:6.1f} µs"


def cpu_s(pid: int) -> float:
    """Processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(folder: Path, connections: int, commands: int, *, secured: bool) -> Figures:
    """Raises CalledProcessError with what redis-benchmark said."""
    tls = Folder(folder / "tls", 3)
    cluster = DevCluster(folder / "cluster", 3, environment=tls.environment if secured else None)
    if secured:
        cluster.client_options, cluster.admin_options = tls.client, tls.operator
    with cluster:
        cluster.wait_ready(30)
        leader = cluster.leader()
        words = [
            "redis-benchmark",
            "-p",
            str(cluster.resp_port(leader)),
            "-c",
            str(connections),
            "--csv",
            "-q",
        ]
        if secured:
            words += ["--tls", "--cacert", str(tls.path / "ca.crt"), "--sni", "localhost"]
        for amount in (commands // 10, commands):  # the first one warms up
            before = cpu_s(cluster.pid(leader))
            said = subprocess.run(
                [*words, "-n", str(amount), "INCR", "k"],
                capture_output=True,
                text=True,
                timeout=300,
                check=True,
            ).stdout
        found = list(csv.DictReader(said.splitlines()))[-1]
        return Figures(
            float(found["rps"]),
            float(found["p50_latency_ms"]),
            (cpu_s(cluster.pid(leader)) - before) / commands * 1e6,
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.tls_cost")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--commands", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if shutil.which("redis-benchmark") is None:
        print("redis-benchmark is missing (Debian: redis-tools)", file=sys.stderr)
        return 2
    found: dict[bool, list[Figures]] = {False: [], True: []}
    for _ in range(options.rounds):
        for secured in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                found[secured].append(
                    measure(Path(folder), options.connections, options.commands, secured=secured)
                )
        print(f"plain {found[False][-1]}   TLS {found[True][-1]}", flush=True)

    def middle(name: str, *, secured: bool) -> float:
        return float(statistics.median(getattr(figures, name) for figures in found[secured]))

    print(
        f"TLS to plain, medians: commands a second "
        f"{middle('a_second', secured=True) / middle('a_second', secured=False):.2f}",
        end=", ",
    )
    print(
        f"by the time of a command "
        f"{middle('median_ms', secured=False) / middle('median_ms', secured=True):.2f}",
        end=", ",
    )
    print(
        f"by the leader's processor "
        f"{middle('leader_us', secured=False) / middle('leader_us', secured=True):.2f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
