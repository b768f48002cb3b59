"""Every child of two CounterClusters, as YAML to be read: golden/CASE.KIND.NAME.yaml. A change
shows in the diff of the files, which `pytest tests/unit/operator/test_golden.py --rewrite` writes
again. tests/apiserver/test_golden.py lets a real API server judge them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from countercluster_operator.model import decode
from countercluster_operator.resources.registry import all_children

from tests.support.unit.secured import SECURED

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = Path(__file__).parent / "golden"
CASES = {path.stem: path for path in (ROOT / "manifests" / "samples").glob("*.yaml")}


def rendered(case: str) -> dict[str, str]:
    """The text of each child by the name of its file."""
    body = yaml.safe_load(CASES[case].read_text())
    body["metadata"] |= {
        "namespace": "shop",
        "uid": "00000000-0000-0000-0000-000000000001",
        "generation": 1,
    }
    body["spec"].setdefault("resources", _default_resources())
    cluster = decode(body, "countercluster/node:dev", "countercluster/redis:dev")
    children = all_children(cluster, cluster.spec.replicas, cluster.spec.replicas, secured=SECURED)
    return {
        f"{case}.{m['kind'].lower()}.{m['metadata']['name']}.yaml": yaml.safe_dump(
            m, sort_keys=False, width=150
        )
        for m in children
    }


def _default_resources() -> Any:
    crd = yaml.safe_load((ROOT / "crds" / "countercluster.yaml").read_text())
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"][
        "properties"
    ]["resources"]["default"]


@pytest.mark.parametrize("case", CASES)
def test_every_child_is_as_its_golden_file_says(case: str, pytestconfig: pytest.Config) -> None:
    wanted = rendered(case)
    if pytestconfig.getoption("--rewrite"):
        GOLDEN.mkdir(exist_ok=True)
        for old in GOLDEN.glob(f"{case}.*"):
            old.unlink()
        for name, text in wanted.items():
            (GOLDEN / name).write_text(text)
    found = {path.name: path.read_text() for path in GOLDEN.glob(f"{case}.*")}
    assert found == wanted, "if that is meant: pytest tests/unit/operator/test_golden.py --rewrite"
