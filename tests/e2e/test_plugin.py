"""`kubectl counters` as a user types it: found by kubectl on PATH, through the API server's
port-forward and TLS to secured members."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from examples.demo_kube import kubectl
from tests.e2e.rig import Rig

ROOT = Path(__file__).resolve().parents[2]


class Plugin:
    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    def __call__(self, command: str, *words: str) -> str:
        return kubectl(
            "counters", "-n", self._rig.space.name, command, self._rig.counters.name, *words
        )

    def json(self, command: str, *words: str) -> Any:
        return json.loads(self(command, *words, "-o", "json"))


@pytest.fixture
def plugin(rig: Rig, plugin_path: None) -> Plugin:
    return Plugin(rig)


def test_status_tells_of_members_machines_cache_and_certificates(plugin: Plugin, rig: Rig) -> None:
    text = plugin("status")
    assert f"{rig.space.name}/clicks  Ready" in text
    assert "cache: 1 of 1 Redis reached" in text
    assert "certificates: the nodes' until 20" in text
    found = plugin.json("status")
    assert len({member["machine"] for member in found["members"]} - {""}) == 3
    assert found["leader"] == rig.counters.wait_leader()


def test_nothing_but_the_answer_is_on_the_terminal(plugin: Plugin, rig: Rig) -> None:
    """Port-forwards end in many ways; the library behind them used to tell of each."""
    for command in ("status", "top --once --interval 0.2", "scan") * 3:
        words = [
            "kubectl",
            "counters",
            "-n",
            rig.space.name,
            *command.split()[:1],
            "clicks",
            *command.split()[1:],
        ]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
        assert done.stderr == ""


def test_counting_goes_through_the_port_forward(plugin: Plugin) -> None:
    assert plugin.json("incr", "plugin:a", "--by", "41") == {"plugin:a": 41}
    assert plugin("incr", "plugin:a") == "42\n"
    assert plugin("get", "plugin:a") == "plugin:a 42\n"
    assert plugin("scan", "plugin:*") == "plugin:a\n"
    assert len(plugin.json("top", "--once", "--interval", "0.5")) == 3


def test_leadership_is_handed_over_by_mutual_tls(plugin: Plugin) -> None:
    before = plugin.json("status")
    other = next(member["name"] for member in before["members"] if member["role"] == "follower")
    assert plugin("transfer", other) == f"{other} leads\n"
    assert plugin.json("status")["leader"] == other


def test_logs_are_those_of_all_members_in_the_order_of_time(plugin: Plugin, rig: Rig) -> None:
    found = plugin.json("logs", "--lines", "20")
    assert {entry["pod"] for entry in found} == set(rig.counters.pod_names())
    assert all(
        sum(entry["pod"] == pod for entry in found) <= 20 for pod in rig.counters.pod_names()
    )
    times = [json.loads(entry["line"])["time"] for entry in found]
    assert times == sorted(times)
    assert plugin("logs", "--lines", "20").count("\n") >= len(found)


def test_a_report_has_logs_and_no_password(plugin: Plugin, rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "report.tar.gz"
    plugin("report", "-f", str(file))
    with tarfile.open(fileobj=io.BytesIO(file.read_bytes())) as tar:
        parts = {
            m.name.partition("/")[2]: tar.extractfile(m).read().decode() for m in tar.getmembers()
        }  # type: ignore[union-attr]
    assert {
        "logs/clicks-0.log",
        "nodes/clicks-1/metrics.txt",
        "networkpolicies.yaml",
    } <= parts.keys()
    assert '"time"' in parts["logs/clicks-0.log"]
    password = (rig.binding() / "password").read_text()
    assert all(password not in part for part in parts.values())


def test_an_audit_of_a_default_cluster_finds_nothing_grave(plugin: Plugin) -> None:
    """The ports of real pods, Redis among them, are tried through the port-forward (exit code
    0)."""
    found = plugin.json("audit")
    assert not [f for f in found if f["severity"] in ("high", "medium", "unknown")]
    assert {"default-user", "image-by-tag"} <= {f["id"] for f in found}
