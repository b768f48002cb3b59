"""The programs in examples/ do what they say, run as a user runs them. (deploy.py needs Kubernetes: tests/e2e.)"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.devcluster import ROOT, DevCluster, free_port_range
from tests.support.redis_server import RedisServer


def run(program: str, *words: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / room) for room in ("node_image", "client"))}
    command = [sys.executable, str(ROOT / "examples" / program), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_a_node_in_a_program_counts_alone() -> None:
    address = f"127.0.0.1:{free_port_range(1)}"
    assert run("embedded_node.py", address, "--key", "k", "--value", "41") == [
        f"{address} is a member of a cluster of 1",
        f"{address} reads k = 42",
    ]


def test_three_nodes_in_a_program_agree() -> None:
    first = free_port_range(3)
    addresses = [f"127.0.0.1:{first + n}" for n in range(3)]
    told = run("embedded_node.py", *addresses)
    assert told[2:] == [f"{addresses[2]} is a member of a cluster of 3", *(f"{address} reads counter = 43" for address in addresses)]


SESSION = ["ping   True", "get    None", "set    True", "get    7", "delete 1"]


def test_the_redis_session_runs_against_redis(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as cache:
        assert run("redis_session.py", "--port", str(cache.port), "--value", "7") == SESSION


def test_the_redis_session_runs_against_a_node_too(cluster: DevCluster) -> None:
    assert run("redis_session.py", "--port", str(cluster.resp_port(0)), "--value", "7") == SESSION
