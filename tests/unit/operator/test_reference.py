"""The reference page of the CounterCluster comes from its schema."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
REFERENCE: dict[str, Any] = runpy.run_path(str(ROOT / "generators" / "crd_page.py"))


def test_the_page_is_what_the_schema_says() -> None:
    assert REFERENCE["PAGE"].read_text() == REFERENCE["rendered"](), (
        "run: python generators/crd_page.py"
    )


def test_every_field_is_described() -> None:
    crd = yaml.safe_load((ROOT / "crds" / "countercluster.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    fields = [
        (p, f)
        for part in ("spec", "status")
        for p, f in REFERENCE["fields"](schema["properties"][part], part)
    ]
    assert len(fields) > 30
    assert not [path for path, field in fields if not field.get("description")]
