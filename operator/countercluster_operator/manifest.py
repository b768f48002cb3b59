"""What every object that the operator writes has: name, namespace, labels, owner."""

from __future__ import annotations

from typing import Any

from countercluster_operator import names
from countercluster_operator.model import Cluster

Manifest = dict[str, Any]
"""An object as the API has it."""


def metadata(cluster: Cluster, name: str, component: str) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": cluster.namespace,
        "labels": names.labels(cluster.name, component),
        "ownerReferences": [cluster.owner],
    }
