"""What real nodes show on /metrics: complete, well-formed by Prometheus' own judgement, and
true."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from counter_node.views.metric_families import FAMILIES, HISTOGRAMS
from prometheus_client.parser import text_string_to_metric_families

from tests.support.devcluster import DevCluster

ROOT = Path(__file__).resolve().parents[2]
OF_LIMITED_USERS = {
    name for name in FAMILIES if name.startswith("counter_user_")
}  # tests/integration/test_abuse.py has some
OF_THE_CACHE = {name for name in FAMILIES if name.startswith("counter_cache_")}
Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    with DevCluster(tmp_path_factory.mktemp("metrics")) as cluster:
        yield cluster


def page(cluster: DevCluster, node: int) -> str:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{cluster.ports(node)['http']}/metrics", timeout=30
    ) as answer:
        return str(answer.read().decode())


def values(text: str) -> Values:
    return {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for f in text_string_to_metric_families(text)
        for s in f.samples
    }


def test_every_family_of_the_tables_is_exported_and_no_other(nodes: DevCluster) -> None:
    found = {f.name for f in text_string_to_metric_families(page(nodes, nodes.leader()))}
    found = {name for name in found if not name.startswith("process_")}
    created = {name for name in found if name.endswith("_created")}
    assert (
        found - created == (FAMILIES.keys() | HISTOGRAMS.keys()) - OF_THE_CACHE - OF_LIMITED_USERS
    )


def test_promtool_has_nothing_to_say(nodes: DevCluster) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=page(nodes, nodes.leader()),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    complaints = [
        line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("process_")
    ]
    assert complaints == []


def test_commands_errors_and_durations_are_counted_for_every_command(nodes: DevCluster) -> None:
    with nodes.client(0) as client:
        client.ping()  # what a client says first may be refused, too
        before = values(page(nodes, 0))
        pipe = client.pipeline(transaction=False)
        for _ in range(50):
            pipe.incr("metrics")
        pipe.execute()
        for _ in range(7):
            client.get("metrics")
        with pytest.raises(redis.ResponseError):
            client.execute_command("INCRBY", "metrics", "many")
    after = values(page(nodes, 0))

    def more(name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return after[key] - before[key]

    assert more("counter_command_duration_seconds_count", kind="write") == 50
    assert more("counter_command_duration_seconds_count", kind="read") == 7
    assert more("counter_command_errors_total", error="ERR") == 1
    assert more("counter_commands_total") >= 58
    assert 0 < more("counter_command_duration_seconds_sum", kind="write") < 50 * 60
    assert (
        after[("counter_command_duration_seconds_bucket", (("kind", "write"), ("le", "+Inf")))]
        == after[("counter_command_duration_seconds_count", (("kind", "write"),))]
    )


def test_a_change_of_leader_is_seen_by_all_and_counted_by_the_winner(nodes: DevCluster) -> None:
    heard = ("counter_raft_leader_changes_total", ())
    old = nodes.leader()
    before = [values(page(nodes, node)) for node in range(3)]
    target = next(node for node in range(3) if node != old)
    nodes.admin(old, "RAFT.TRANSFER", nodes.status(target)["nodeId"])
    end = time.monotonic() + 20
    while True:
        after = [values(page(nodes, node)) for node in range(3)]
        changes = [a[heard] - b[heard] for a, b in zip(after, before, strict=True)]
        if all(changes) or time.monotonic() > end:
            break
        time.sleep(0.1)
    assert changes == [1, 1, 1]
    won = ("counter_raft_elections_won_total", ())
    assert after[target][won] - before[target][won] == 1
    assert sum(a[("counter_raft_is_leader", ())] for a in after) == 1
    lags = [key for key in after[target] if key[0] == "counter_raft_peer_lag_entries"]
    assert len(lags) == 2, "the leader tells the lag of both others"
    assert not [key for key in after[old] if key[0] == "counter_raft_peer_lag_entries"]


def test_the_reference_page_is_what_the_code_says() -> None:
    module: dict[str, Any] = runpy.run_path(str(ROOT / "generators" / "metrics_page.py"))
    assert module["PAGE"].read_text() == module["rendered"](), (
        "run: python generators/metrics_page.py"
    )
