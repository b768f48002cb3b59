"""What the pages show of a CounterCluster, whole or only its spec, is accepted by a real API server
with every field known to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.apiserver import ApiServer

ROOT = Path(__file__).resolve().parents[2]
API = "countercluster.io/v1alpha1"


def bodies() -> Iterator[tuple[str, Any]]:
    for page in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]):
        for number, block in enumerate(
            re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        ):
            yield from ((f"{page.stem}-{number}", body) for body in yaml.safe_load_all(block))


SHOWN: list[tuple[str, dict[str, Any]]] = [
    (name, body)
    for name, body in bodies()
    if isinstance(body, dict) and (body.keys() == {"spec"} or body.get("kind") == "CounterCluster")
]


def test_there_are_some() -> None:
    assert len(SHOWN) >= 3


@pytest.mark.parametrize("body", [body for _, body in SHOWN], ids=[name for name, _ in SHOWN])
def test_the_api_server_takes_it(server: ApiServer, namespace: str, body: dict[str, Any]) -> None:
    meta = {"name": "shown", **body.get("metadata", {}), "namespace": namespace}
    answer = server.apply(
        {"apiVersion": API, "kind": "CounterCluster", **body, "metadata": meta},
        dryRun="All",
        fieldValidation="Strict",
    )
    assert answer.status < 300, answer.message
