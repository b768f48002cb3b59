"""The programs in docs/reference/client.md, run as they are written there, with the ports of this
test in place of theirs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.devcluster import ROOT, DevCluster
from tests.support.redis_server import RedisServer

PROGRAMS = re.findall(
    r"^```python\n(.*?)^```",
    (ROOT / "docs/reference/client.md").read_text(),
    re.MULTILINE | re.DOTALL,
)
PRINTED = [["1", "0", "sold out at 0"], ["100"], ["again in 60 s at most"], ["1", "1"]]


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    with (
        RedisServer(tmp_path_factory.mktemp("redis")) as cache,
        DevCluster(
            tmp_path_factory.mktemp("docs"), 1, "--cache", f"127.0.0.1:{cache.port}"
        ) as cluster,
    ):
        yield {"7001": cluster.resp_port(0), "6380": cache.port}


@pytest.mark.parametrize("number", range(len(PRINTED)))
def test_a_program_of_the_page_does_what_it_says(
    ports: dict[str, int], tmp_path: Path, number: int
) -> None:
    if number:
        # The last program begins with a counter that another one has used.
        PROGRAMS[number] = PROGRAMS[number].replace('"visits"', f'"visits:{number}"')
    program = re.sub(r"127\.0\.0\.1:(\d+)", lambda m: f"127.0.0.1:{ports[m[1]]}", PROGRAMS[number])
    path = tmp_path / "program.py"
    path.write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "client")}
    done = subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        text=True,
        timeout=150,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == PRINTED[number]


def test_every_program_of_the_page_is_run() -> None:
    assert len(PROGRAMS) == len(PRINTED)
