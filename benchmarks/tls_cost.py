"""What does TLS cost? `python -m benchmarks.tls_cost`, about a minute; needs redis-benchmark.

Three node processes on loopback, in plain text and with TLS on every port, in turn: `INCR` of one counter at the leader over many connections without
pipelines. The ratio is that of the medians; the pairs are told too, as they show how quiet the machine was.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.certificates import Folder
from tests.support.devcluster import DevCluster


def throughput(folder: Path, connections: int, commands: int, *, secured: bool) -> float:
    """Commands a second. Raises CalledProcessError with what redis-benchmark said."""
    tls = Folder(folder / "tls", 3)
    cluster = DevCluster(folder / "cluster", 3, environment=tls.environment if secured else None)
    if secured:
        cluster.client_options, cluster.admin_options = tls.client, tls.operator
    with cluster:
        cluster.wait_ready(30)
        words = ["redis-benchmark", "-p", str(cluster.resp_port(cluster.leader())), "-c", str(connections), "--csv", "-q"]
        if secured:
            words += ["--tls", "--cacert", str(tls.path / "ca.crt"), "--sni", "localhost"]
        for amount in (commands // 10, commands):  # the first one warms up
            said = subprocess.run([*words, "-n", str(amount), "INCR", "k"], capture_output=True, text=True, timeout=300, check=True).stdout
        return float(list(csv.DictReader(said.splitlines()))[-1]["rps"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.tls_cost")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--commands", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if shutil.which("redis-benchmark") is None:
        print("redis-benchmark is missing (Debian: redis-tools)", file=sys.stderr)
        return 2
    found: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(options.rounds):
        for secured in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                found[secured].append(throughput(Path(folder), options.connections, options.commands, secured=secured))
        print(f"plain {found[False][-1]:8.0f}/s   TLS {found[True][-1]:8.0f}/s   ratio {found[True][-1] / found[False][-1]:.2f}", flush=True)
    print(f"ratio of the medians: {statistics.median(found[True]) / statistics.median(found[False]):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
