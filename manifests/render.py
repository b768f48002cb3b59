"""Joins the CRD and the operator's manifests to install.yaml: `python3 manifests/render.py`. A test fails while install.yaml is stale."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).resolve().parent
PARTS = (HERE.parent / "crds" / "countercluster.yaml", HERE / "namespace.yaml", HERE / "rbac.yaml", HERE / "operator.yaml")
HEAD = "# Made by manifests/render.py from crds/ and this folder; change those.\n"


def rendered() -> str:
    return HEAD + "---\n".join(part.read_text() for part in PARTS)


if __name__ == "__main__":
    (HERE / "install.yaml").write_text(rendered())
