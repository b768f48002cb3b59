"""Fixtures of the end-to-end tests: the shared CounterCluster, namespaces of their own, and what is
checked after every test.

After each test the operator's pods must neither have restarted nor been replaced, unless the test
is marked `disturbs_operator`. A failure leaves pods, events, logs and node status in a folder whose
name is printed."""

from __future__ import annotations

import datetime
import fcntl
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from examples.demo_counters import CounterCluster, Tools
from examples.demo_kube import API, Namespace, Object, diagnose, kubectl, wait
from tests.e2e import waits
from tests.e2e.rig import (
    FIGURES,
    Rig,
    figure,
    manifest,
    operator_lack,
    operator_pods,
    operator_said,
)

HERE = Path(__file__).resolve().parent
SHARED = Namespace(f"e2e-shared-{os.getpid()}")
LOCK = Path(tempfile.gettempdir(), "countercluster-e2e.lock")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "disturbs_operator: ends operator pods on purpose, or what they talk to"
    )
    config.addinivalue_line("markers", "slow: minutes; run by `make e2e-all`")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("figures, in seconds")
        for what, seconds in FIGURES.items():
            terminalreporter.write_line(f"{seconds:8.2f}  {what}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(420))


@pytest.fixture(scope="session", autouse=True)
def kubernetes() -> Iterator[None]:
    """Without a KUBECONFIG in the environment these tests are skipped; with one that does not work
    they fail."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("no KUBECONFIG: run `make e2e`, which brings a cluster up")
    if "counterclusters" not in kubectl(
        "api-resources", "--api-group=countercluster.io", check=False, seconds=30
    ):
        pytest.fail("the cluster has no CounterCluster resource: run `make cluster`", pytrace=False)
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pytest.fail(
                f"another run of these tests is using the cluster ({LOCK} is locked)", pytrace=False
            )
        for left in API.items("/api/v1/namespaces"):
            if left["metadata"]["name"].startswith("e2e-"):  # of a run that was interrupted
                kubectl(
                    "delete",
                    "namespace",
                    left["metadata"]["name"],
                    "--wait=false",
                    "--ignore-not-found",
                )
        for node in API.items("/api/v1/nodes"):
            if node["spec"].get("unschedulable"):
                kubectl("uncordon", node["metadata"]["name"])
        wait("the operator", waits.OPERATOR, operator_lack)
        yield
    API.stop()


@cache
def diagnostics_folder() -> Path:
    return Path(os.environ.get("E2E_DIAGNOSTICS") or tempfile.mkdtemp(prefix="countercluster-e2e-"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed and report.when in ("setup", "call"):
        spaces = [
            Namespace(ns["metadata"]["name"])
            for ns in API.items("/api/v1/namespaces")
            if ns["metadata"]["name"].startswith("e2e-")
        ]
        folder = diagnose(spaces, diagnostics_folder() / item.name)
        report.sections.append(
            ("diagnostics", f"pods, events, logs and node status are in {folder}")
        )


@pytest.fixture(autouse=True)
def operator_unharmed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Neither restarted nor replaced, and no error in its log."""
    before = operator_pods()
    start = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    yield
    if request.node.get_closest_marker("disturbs_operator") is None:
        assert operator_pods() == before, (
            f"the operator's pods (name, restarts) were {before} and are {operator_pods()}"
        )
        assert not operator_said(start), f"the operator's log has {operator_said(start)}"


@pytest.fixture
def space(request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """A namespace of the test's own."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")
    space = Namespace(f"e2e-{words[:24]}-{words[-20:]}".replace("--", "-"))
    space.make()
    yield space
    kubectl("delete", "namespace", space.name, "--wait=false", "--ignore-not-found")


@pytest.fixture
def plugin_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kubectl finds its plugin, as if pip had put it on PATH (that it does:
    tests/apiserver/test_plugin_installed.py)."""
    script = tmp_path / "kubectl-counters"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m kubectl_counters "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(HERE.parents[1] / "client"))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def make_rig(space: Namespace) -> Iterator[Callable[..., Rig]]:
    """Makes a CounterCluster of the test's own, formed and settled."""
    made: list[Rig] = []

    def make(name: str, spec: Object) -> Rig:
        rig = Rig(space, CounterCluster(space, name), Tools(space, name), [])
        made.append(rig)
        rig.tools.start()
        space("apply", "-f", "-", stdin=manifest(name, spec))
        rig.counters.wait_settled(spec.get("replicas", 3), waits.READY)
        rig.tools.wait()
        return rig

    yield make
    for rig in made:
        rig.end_loads()


@pytest.fixture(scope="session")
def fresh(kubernetes: None) -> Iterator[tuple[Rig, float]]:
    """The shared CounterCluster, made from `spec: {}`, and how long that took."""
    SHARED.make()
    rig = Rig(SHARED, CounterCluster(SHARED, "clicks"), Tools(SHARED, "clicks"), [])
    rig.tools.start()
    SHARED("apply", "-f", "-", stdin=manifest("clicks", {}))
    seconds = rig.counters.wait_settled(3, waits.READY, cache=True)
    figure("apply to Ready, 3 members", seconds)
    rig.tools.wait()
    yield rig, seconds
    kubectl("delete", "namespace", SHARED.name, "--wait=false", "--ignore-not-found")


AS_MADE: Object = {
    "replicas": 3,
    "paused": False,
    "hibernated": False,
    "maintenance": "",
    "rollout": {"strategy": "LeaderLast"},
    "healing": {"replaceLostAfterSeconds": 300},
}
"""What the tests change, but for what a roll would undo: they leave the image and the settings as
they are."""


@pytest.fixture
def rig(fresh: tuple[Rig, float]) -> Iterator[Rig]:
    """The shared CounterCluster with three voters. What a test changed is set right before the next
    one."""
    rig, _ = fresh
    rig.patch(AS_MADE)
    if rig.counters.lack(3):
        rig.counters.wait_settled(3, waits.SCALED)
    yield rig
    rig.end_loads()
