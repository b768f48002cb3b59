"""Clients that wait less long than an answer takes: each repetition counts again, unless the client is told to repeat nothing.

What they count with their own time-outs and answers that come 6 s late is a table in docs/reference/clients.md; here the
same with shorter times, for those whose remedy differs between the plain port and the cluster port.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.stock.build import GO, HERE, ToolMissing
from tests.support.devcluster import DevCluster
from tests.support.slow_replies import SlowReplies

DELAY_S, TIMEOUT_MS = 4.0, "2000"
WORKERS = 4
PYTHON = [sys.executable, str(HERE / "redis_py_slow.py")]
Case = tuple[str, str, str]
"""Client, port, remedy."""
ONCE: list[Case] = [
    ("redis-py", "plain", "retry"),
    ("redis-py", "cluster", "retry"),
    ("redis-py (asyncio)", "cluster", "retry"),
    ("go-redis", "plain", "MaxRetries"),
    ("go-redis", "cluster", "MaxRetries MaxRedirects"),
]
MORE: list[Case] = [("go-redis", "plain", ""), ("go-redis", "cluster", ""), ("go-redis", "cluster", "MaxRetries")]


def command(client: str) -> list[str]:
    """Raises ToolMissing."""
    if client == "go-redis":
        return [str(GO.made() / "program"), "slow"]
    return [*PYTHON, "asyncio" if "asyncio" in client else "blocking"]


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Case, tuple[int, dict[str, int]] | str]]:
    """By the node, and what the client told; or why it was not tried. All at once, as each mostly waits."""
    found: dict[Case, tuple[int, dict[str, int]] | str] = {}
    directory: Path = tmp_path_factory.mktemp("slow")
    with DevCluster(directory / "nodes", 1, cluster_mode=True) as cluster, contextlib.ExitStack() as stack:
        doors = {"plain": cluster.resp_port(0), "cluster": cluster.cluster_port(0)}
        proxies = {where: stack.enter_context(SlowReplies(port, DELAY_S)) for where, port in doors.items()}
        going: dict[Case, subprocess.Popen[str]] = {}
        for case in (*ONCE, *MORE):
            client, where, remedy = case
            try:
                words = [*command(client), where, str(proxies[where].port), "-".join(case), TIMEOUT_MS, *([remedy] if remedy else [])]
            except ToolMissing as error:
                found[case] = str(error)
                continue
            going[case] = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        for case, process in going.items():
            out, _ = process.communicate(timeout=90)
            with cluster.client(0) as reader:
                found[case] = int(reader.get("-".join(case)) or 0), json.loads(out or "{}")
        yield found


@pytest.mark.parametrize("case", ONCE, ids=" ".join)
def test_a_client_that_is_told_to_repeat_nothing_counts_each_increment_once(
    counted: dict[Case, tuple[int, dict[str, int]] | str], case: Case
) -> None:
    found = counted[case]
    if isinstance(found, str):
        pytest.skip(found)
    assert found[0] <= WORKERS, found
    assert "<nil>" not in found[1], "an answer that came too late was taken for one"


@pytest.mark.parametrize("case", MORE, ids=" ".join)
def test_without_its_remedy_it_counts_more(counted: dict[Case, tuple[int, dict[str, int]] | str], case: Case) -> None:
    """`MaxRetries: -1` is no remedy on the cluster port."""
    found = counted[case]
    if isinstance(found, str):
        pytest.skip(found)
    assert found[0] > WORKERS, found
