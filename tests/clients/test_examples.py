"""The programs in examples/ do what they say, run as a user runs them. (deploy.py needs Kubernetes:
tests/e2e.)"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Folder
from tests.support.devcluster import ROOT, DevCluster, free_port_range
from tests.support.redis_server import RedisServer


def run(program: str, *words: str) -> list[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(ROOT / room) for room in ("node_image", "client")),
    }
    command = [sys.executable, str(ROOT / "examples" / program), *words]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=180, env=environment, check=False
    )
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
    printed = run("embedded_node.py", *addresses)
    assert printed[2:] == [
        f"{addresses[2]} is a member of a cluster of 3",
        *(f"{address} reads counter = 43" for address in addresses),
    ]


SESSION = ["ping   True", "get    None", "set    True", "get    7", "delete 1"]


@pytest.fixture(scope="module")
def binding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder as the mounted Secret `<name>-client`, of a node and a Redis as the operator makes
    them: TLS, and users."""
    path = tmp_path_factory.mktemp("secured")
    tls, hashed = Folder(path / "tls", 1), hashlib.sha256(b"a word").hexdigest()
    users, reader = path / "users.acl", path / "reader.acl"
    users.write_text(f"user default on #{hashed} ~* +@all\n")
    reader.write_text(
        f"user default off\nuser reader on #{hashed} ~* +@read +@connection +info -@dangerous "
        f"+info\n"
    )
    cluster = DevCluster(
        path / "cluster", 1, environment={**tls.environment, "COUNTER_ACL_FILE": str(users)}
    )
    cluster.client_options, cluster.admin_options = (
        {**tls.client, "password": "a word"},
        tls.operator,
    )
    with cluster, secured_redis(path, tls, reader) as port:
        folder = path / "binding"
        folder.mkdir()
        (folder / "ca.crt").write_bytes((tls.path / "ca.crt").read_bytes())
        (folder / "uri").write_text(f"rediss://:a%20word@localhost:{cluster.resp_port(0)}")
        (folder / "cache-uri").write_text(f"rediss://reader:a%20word@localhost:{port}")
        yield folder


@contextlib.contextmanager
def secured_redis(path: Path, tls: Folder, users: Path) -> Iterator[int]:
    """Its port. It writes its log to `path`."""
    port = free_port_range(1)
    command = [
        "redis-server", "--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no",
        "--save", "", "--aclfile", str(users),
    ]  # fmt: skip
    for name, file in (("cert", "node-0.crt"), ("key", "node-0.key"), ("ca-cert", "ca.crt")):
        command += [f"--tls-{name}-file", str(tls.path / file)]
    with (path / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=path)
    try:
        end = time.monotonic() + 30
        while b"Ready to accept" not in (path / "log").read_bytes():
            assert time.monotonic() < end, (path / "log").read_text()
            time.sleep(0.05)
        yield port
    finally:
        server.kill()
        server.wait()


def test_the_redis_session_runs_against_a_secured_node_and_its_cache(binding: Path) -> None:
    assert run("redis_session.py", "--binding", str(binding)) == SESSION
    cache = ("redis_session.py", "--binding", str(binding), "--cache")
    found = run(*cache)
    assert found[:2] == SESSION[:2]
    assert found[2].startswith("set    refused: ")
    assert found[4].startswith("delete refused: ")


def test_the_redis_session_reads_the_secret_by_kubectl(
    binding: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kubectl is a script here that answers as the real one does; tests/e2e has the real one."""
    data = {path.name: base64.b64encode(path.read_bytes()).decode() for path in binding.iterdir()}
    (tmp_path / "secret.json").write_text(json.dumps({"data": data}))
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(
        f'#!/bin/sh\ntest "$*" = "--namespace shop get secret clicks-client -o json" && cat '
        f"{tmp_path}/secret.json\n"
    )
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    port = (binding / "uri").read_text().rpartition(":")[2]
    words = (
        "--secret",
        "clicks-client",
        "--namespace",
        "shop",
        "--host",
        "localhost",
        "--port",
        port,
    )
    assert run("redis_session.py", *words) == SESSION


def test_the_redis_session_runs_against_redis(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as cache:
        assert run("redis_session.py", "--port", str(cache.port), "--value", "7") == SESSION


def test_the_redis_session_runs_against_a_node_too(cluster: DevCluster) -> None:
    assert run("redis_session.py", "--port", str(cluster.resp_port(0)), "--value", "7") == SESSION
