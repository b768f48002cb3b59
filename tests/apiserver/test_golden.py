"""A real API server accepts every golden child, with every field known to it, as the operator
writes it, and pods fit the restricted standard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.apiserver import ApiServer

TESTS = Path(__file__).resolve().parents[1]
GOLDEN = sorted((TESTS / "unit" / "operator" / "golden").glob("*.yaml"))
PROMETHEUS_OPERATOR = TESTS / "support" / "prometheus_operator.yaml"


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_the_api_server_accepts_it(server: ApiServer, path: Path) -> None:
    server.namespace("shop")
    server.install(PROMETHEUS_OPERATOR)
    child = yaml.safe_load(path.read_text())
    answer = server.apply(child, dryRun="All", fieldValidation="Strict")
    assert answer.status < 300, answer.message


@pytest.mark.parametrize(
    "path",
    [p for p in GOLDEN if ".statefulset." in p.name or ".deployment." in p.name],
    ids=lambda p: p.stem,
)
def test_its_pods_are_let_into_a_restricted_namespace(server: ApiServer, path: Path) -> None:
    standard = "pod-security.kubernetes.io/enforce"
    name = server.namespace("strict", **{standard: "restricted", f"{standard}-version": "latest"})
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        **yaml.safe_load(path.read_text())["spec"]["template"],
    }
    pod["metadata"] = {**pod["metadata"], "name": "p", "namespace": name}
    pod["spec"]["volumes"] = [
        *pod["spec"].get("volumes", []),
        {"name": "data", "emptyDir": {}},
    ]  # its claim's place
    pod["spec"].pop("priorityClassName", None)
    answer = server.apply(pod, dryRun="All")
    assert answer.status < 300, answer.message
