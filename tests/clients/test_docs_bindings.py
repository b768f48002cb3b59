"""The programs in docs/operating/security.md, run as they are written there, against a node with
TLS and a password. The folder of the Secret is put in place of the page's; the packages are those
of tests/clients/stock."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.clients.stock.build import GO, JVM, NODE, ToolMissing
from tests.support.certificates import Folder
from tests.support.devcluster import ROOT, DevCluster

PAGE = (ROOT / "docs/operating/security.md").read_text()
PROGRAMS: list[tuple[str, str]] = re.findall(
    r"^```(python|go|javascript|java)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL
)
SHELL = next(line[2:] for line in PAGE.splitlines() if line.startswith("$ REDISCLI_AUTH"))
PASSWORD = "correct-horse"
TRIES_S = 15
"""Some clients try for ever."""


@pytest.fixture(scope="module")
def binding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder as the mounted Secret `<name>-client`, and the node that it leads to."""
    path = tmp_path_factory.mktemp("secured")
    tls = Folder(path / "tls", 1)
    users = path / "users.acl"
    users.write_text(f"user default on #{hashlib.sha256(PASSWORD.encode()).hexdigest()} ~* +@all\n")
    cluster = DevCluster(
        path / "cluster", 1, environment={**tls.environment, "COUNTER_ACL_FILE": str(users)}
    )
    cluster.client_options, cluster.admin_options = (
        {**tls.client, "password": PASSWORD},
        tls.operator,
    )
    with cluster:
        folder, port = path / "binding", str(cluster.resp_port(0))
        folder.mkdir()
        shutil.copy(tls.path / "ca.crt", folder)
        for key, value in {
            "uri": f"rediss://:{PASSWORD}@localhost:{port}",
            "host": "localhost",
            "port": port,
            "username": "default",
            "password": PASSWORD,
        }.items():
            (folder / key).write_text(value)
        yield folder


def _place(language: str, program: str, folder: Path) -> list[str]:
    """Writes the program where its packages are found; the command that runs it. Raises
    ToolMissing."""
    if language == "python":
        (folder / "program.py").write_text(program)
        return [sys.executable, str(folder / "program.py")]
    if language == "go":
        made = GO.made()
        for name in ("go.mod", "go.sum"):
            shutil.copy(made / name, folder)
        (folder / "main.go").write_text(program)
        return ["go", "run", "-mod=readonly", "."]
    if language == "javascript":
        (folder / "node_modules").symlink_to(NODE.made() / "node_modules")
        (folder / "program.mjs").write_text(program)
        return ["node", "program.mjs"]
    match = re.search(r"class (\w+)", program)
    assert match is not None
    (folder / f"{match[1]}.java").write_text(program)
    return [
        "java",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        str(JVM.made() / "jars/*"),
        f"{match[1]}.java",
    ]


def _run(words: list[str], folder: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "client")}
    return subprocess.run(
        words,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=seconds,
        env=environment,
        check=False,
    )


def _said(words: list[str], folder: Path) -> str:
    done = _run(words, folder, 120)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


each = pytest.mark.parametrize(
    "number",
    range(len(PROGRAMS)),
    ids=[f"{n}-{language}" for n, (language, _) in enumerate(PROGRAMS)],
)


@each
def test_a_program_of_the_page_counts(binding: Path, tmp_path: Path, number: int) -> None:
    language, program = PROGRAMS[number]
    program = program.replace("/bindings/clicks", str(binding)).replace(
        '"visits"', f'"visits:{number}"'
    )
    try:
        words = _place(language, program, tmp_path)
    except ToolMissing as error:
        pytest.skip(str(error))
    assert _said(words, tmp_path) == "1"
    assert _said(words, tmp_path) == "2"


def test_the_command_of_the_page_counts(binding: Path, tmp_path: Path) -> None:
    if shutil.which("redis-cli") is None:
        pytest.skip("redis-cli is not installed")
    port = (binding / "port").read_text()
    command = SHELL.replace("/bindings/clicks", str(binding)).replace(
        "redis-cli", f"timeout 20 redis-cli -p {port}"
    )
    assert _said(["bash", "-c", command], tmp_path) == "1"


@each
def test_a_program_of_the_page_trusts_nobody_else(
    binding: Path, tmp_path: Path, number: int
) -> None:
    """With the authority of somebody else it does not count: it ends with an error, or tries on."""
    language, program = PROGRAMS[number]
    other, work = tmp_path / "binding", tmp_path / "work"
    shutil.copytree(binding, other)
    shutil.copy(Folder(tmp_path / "stranger", 1).path / "ca.crt", other / "ca.crt")
    work.mkdir()
    program = (
        program.replace("/bindings/clicks", str(other))
        .replace('"visits"', f'"stranger:{number}"')
        .replace('/binding")', '/binding", deadline_s=3)')
    )
    try:
        words = _place(language, program, work)
    except ToolMissing as error:
        pytest.skip(str(error))
    with contextlib.suppress(subprocess.TimeoutExpired):
        assert _run(words, work, TRIES_S).returncode
    uri = (binding / "uri").read_text()
    with redis.Redis.from_url(uri, ssl_ca_certs=str(binding / "ca.crt")) as client:
        assert client.get(f"stranger:{number}") is None
