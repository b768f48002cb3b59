"""Joins the CRD and the operator's manifests: `python3 generators/manifests.py`. A test fails while
what it made is stale.

- install.yaml: an operator in countercluster-system for every namespace.
- install-namespaced.yaml: an operator for its own namespace, with a Role and nothing cluster-wide;
  the definition of the resource is installed apart. It says my-namespace wherever the namespace
  belongs.
- install-namespaced-machines.yaml: and what only an administrator of the whole cluster
  can give: the operator sees machines and volumes, and replaces members that are lost with them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MANIFESTS = ROOT / "manifests"
CRD = ROOT / "crds" / "countercluster.yaml"
HEAD = "# Made by generators/manifests.py from crds/ and this folder; change those.\n"
WATCH = """        - {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
"""


def cluster_wide() -> str:
    ours = ("namespace.yaml", "rbac.yaml", "machines.yaml", "roles.yaml", "operator.yaml")
    return HEAD + "---\n".join(
        part.read_text() for part in (CRD, *(MANIFESTS / name for name in ours))
    )


def namespaced() -> str:
    """The same rules as a Role."""
    operator = (MANIFESTS / "operator.yaml").read_text()
    assert WATCH in operator
    operator = operator.replace(WATCH, WATCH + WATCH.replace("POD_NAMESPACE", "WATCH_NAMESPACES"))
    rbac = (MANIFESTS / "rbac.yaml").read_text().replace("ClusterRole", "Role")
    rbac = rbac.replace(
        "metadata: {name: countercluster-operator}",
        "metadata: {name: countercluster-operator, namespace: my-namespace}",
    )
    return HEAD + f"{rbac}---\n{operator}".replace("countercluster-system", "my-namespace")


def machines() -> str:
    """Named by the namespace, as there may be several."""
    text = (
        (MANIFESTS / "machines.yaml")
        .read_text()
        .replace(
            "countercluster-operator-machines", "countercluster-operator-machines-my-namespace"
        )
    )
    return HEAD + text.replace("countercluster-system", "my-namespace")


def rendered() -> dict[str, str]:
    """The content of each file, by its name."""
    return {
        "install.yaml": cluster_wide(),
        "install-namespaced.yaml": namespaced(),
        "install-namespaced-machines.yaml": machines(),
    }


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    for name, text in rendered().items():
        (MANIFESTS / name).write_text(text)
