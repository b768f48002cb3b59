"""The programs of examples/ and the commands of docs/, as they are written there, with a
CounterCluster that is secured as the operator makes it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from examples.demo_kube import Namespace, port_forward
from tests.e2e import waits
from tests.e2e.rig import Rig

ROOT = Path(__file__).resolve().parents[2]
SESSION = ["ping   True", "get    None", "set    True", "get    7", "delete 1"]


def run(program: str, *words: str) -> list[str]:
    command = [sys.executable, str(ROOT / "examples" / program), *words]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=waits.READY + 60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_deploy_makes_a_cluster_and_tells_how_to_use_it(space: Namespace) -> None:
    printed = run(
        "deploy.py",
        "orders",
        "--namespace",
        space.name,
        "--replicas",
        "1",
        "--timeout",
        str(waits.READY),
    )
    assert printed[-4].startswith("Ready: 1 of 1 nodes")
    assert f"rediss://orders.{space.name}.svc:6379" in printed[-3]
    with port_forward(space, "svc/orders", 6379) as port:
        words = re.search(r"redis_session.py (.*)$", printed[-1])
        assert words is not None
        assert run("redis_session.py", *words[1].split(), "--port", str(port)) == SESSION


def test_a_session_with_nodes_and_cache(rig: Rig) -> None:
    secret = (
        "--namespace",
        rig.space.name,
        "--secret",
        f"{rig.counters.name}-client",
        "--host",
        "localhost",
    )
    with port_forward(rig.space, f"svc/{rig.counters.name}", 6379) as port:
        assert run("redis_session.py", *secret, "--port", str(port)) == SESSION
    with port_forward(rig.space, f"svc/{rig.counters.name}-cache", 6379) as port:
        found = run("redis_session.py", *secret, "--port", str(port), "--cache")
    assert found[0] == SESSION[0]
    assert found[2].startswith("set    refused: ")


@pytest.fixture
def shell(rig: Rig, tmp_path: Path) -> dict[str, str]:
    """Kubectl's namespace is that of the cluster, as the pages have it."""
    if shutil.which("redis-cli") is None:
        pytest.skip("needs redis-cli (Debian: redis-tools)")
    real = shutil.which("kubectl")
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\nexec {real} --namespace {rig.space.name} "$@"\n')
    kubectl.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("page", "first"), [("install.md", "get secret"), ("cache.md", "port-forward")]
)
def test_the_commands_of_the_pages(
    rig: Rig, shell: dict[str, str], tmp_path: Path, page: str, first: str
) -> None:
    """Those that read the Secret, forward a port and talk to it; each forward runs while the next
    command does."""
    name = rig.counters.name
    text = (ROOT / "docs" / "operating" / "install.md").read_text()
    secret = [
        line[2:] for line in text.splitlines() if line.startswith("$ ") and "get secret" in line
    ]
    block = next(
        b
        for b in re.findall(
            r"```console\n(.*?)```", (ROOT / "docs/operating" / page).read_text(), re.DOTALL
        )
        if f"kubectl {first}" in b
    )
    lines = [
        line[2:]
        for line in block.splitlines()
        if line.startswith("$ ") and "get secret" not in line
    ]
    forward = next(line for line in lines if "port-forward" in line)
    target, ports = forward.split()[2:4]
    with port_forward(
        rig.space, target.replace("clicks", name, 1), int(ports.partition(":")[2])
    ) as port:
        for line in (line for line in lines if "port-forward" not in line):
            asked = re.sub(r"redis-cli( -p \d+)?", f"redis-cli -p {port}", line)
            script = "\n".join(
                ["set -e", *(part.replace("clicks", name) for part in secret), asked]
            )
            done = subprocess.run(
                ["sh", "-c", script],
                env=shell,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert not re.search(r"ERR|NOAUTH|NOPERM|WRONGPASS|error", done.stdout), done.stdout
