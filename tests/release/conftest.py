"""Fixtures of the release's tests: one release made into a registry with TLS and a password, by the
program that `make release` runs. They need the engine that `make cluster` starts, and no cluster of
it: the stranger's is one of its own (stranger.py)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from countercluster_operator.credentials.certificates import Names, authority, leaf

from kind.release.registry import Registry as Crane
from kind.tools import engine, golang
from kind.tools.settings import REPOSITORY, cache_root
from kind.tools.shell import run
from kind.tools.store import Store
from tests.support.certificates import now
from tests.support.registry import PASSWORD, USER, Certificate, Registry

HERE = Path(__file__).resolve().parent
VERSION = "0.2.0-rc.7"
NETWORK = "kind"
RELEASE_S = 900


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: minutes; run by `make e2e-all`")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(1800))


class Made(NamedTuple):
    """A release in a registry."""

    registry: Registry
    path: str
    """host/path of the images."""
    authority: Path
    folder: Path
    environment: dict[str, str]
    """Of a program that may push there."""


def gateway() -> str:
    """This machine's address in the network of kind's nodes, which is made first where there is
    none."""
    if not engine.runs():
        pytest.skip("no engine runs: `make e2e` starts one")
    networks = run("docker", "network", "ls", "--format", "{{.Name}}").split()
    if NETWORK not in networks:
        run("docker", "network", "create", NETWORK)
    (document,) = json.loads(run("docker", "network", "inspect", NETWORK))
    gateways = [entry.get("Gateway", "") for entry in document["IPAM"]["Config"]]
    address = next(address for address in gateways if "." in address)
    try:
        with socket.create_server((address, 0)):
            return address
    except OSError:
        pytest.skip(f"the engine's network is not this machine's: {address} is another's")


def release(made: Made, *words: str) -> subprocess.CompletedProcess[str]:
    """What `make release` runs, into a folder of the test's own; changed files are no hindrance."""
    command = [sys.executable, "-m", "kind.release", "--registry", made.path, "--uncommitted"]
    return subprocess.run(
        [*command, "--into", str(made.folder.parent), *words],
        cwd=REPOSITORY, env=made.environment, capture_output=True, text=True,
        timeout=RELEASE_S, check=False,
    )  # fmt: skip


@pytest.fixture(scope="session")
def crane() -> Path:
    store = Store(cache_root())
    with store.exclusive():
        return golang.installed(store, "crane") / "crane"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, crane: Path) -> Iterator[Made]:
    host, folder = gateway(), tmp_path_factory.mktemp("release")
    signing = authority("registry", now())
    pair = leaf(signing, Names("registry", addresses=(host,)), now())
    for name, content in (
        ("ca.crt", signing.certificate), ("tls.crt", pair.certificate), ("tls.key", pair.key)
    ):  # fmt: skip
        (folder / name).write_bytes(content)
    certificate = Certificate(folder / "tls.crt", folder / "tls.key")
    with Registry(folder / "registry", host, password=True, certificate=certificate) as registry:
        environment = {
            **os.environ,
            "SSL_CERT_FILE": str(folder / "ca.crt"),
            "DOCKER_CONFIG": str(folder / "docker"),
        }
        run(crane, "auth", "login", registry.host, "-u", USER, "-p", PASSWORD, env=environment)
        made = Made(
            registry,
            f"{registry.host}/acme/counters",
            folder / "ca.crt",
            folder / "dist" / VERSION,
            environment,
        )
        done = release(made, "--version", VERSION)
        assert done.returncode == 0, done.stderr
        assert "alone: this engine builds for no other" in done.stderr
        yield made


@pytest.fixture
def logged_in(crane: Path, made: Made, monkeypatch: pytest.MonkeyPatch) -> Crane:
    for name in ("SSL_CERT_FILE", "DOCKER_CONFIG"):
        monkeypatch.setenv(name, made.environment[name])
    return Crane(crane)
