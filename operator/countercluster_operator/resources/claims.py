"""What becomes of the volume claims, which the StatefulSet makes, when the CounterCluster goes.

With spec.storage.retain=Delete they are owned by the CounterCluster, and so are collected with it; with Retain they are owned by nobody. The
StatefulSet's own retention policy is not used: it would delete the data with a StatefulSet that somebody deleted by mistake.
"""

from __future__ import annotations

from typing import Any

from countercluster_operator import names
from countercluster_operator.model import Cluster
from countercluster_operator.observed import Observed


def to_write(cluster: Cluster, seen: Observed) -> list[dict[str, Any]]:
    """The claims whose owner is not as the spec wants it."""
    delete = cluster.spec.storage.retain == "Delete"
    return [_claim(cluster, ordinal, owned=delete) for ordinal in seen.claims if (ordinal in seen.owned_claims) != delete]


def _claim(cluster: Cluster, ordinal: int, *, owned: bool) -> dict[str, Any]:
    owner = {**cluster.owner, "controller": False}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": names.claim(cluster.name, ordinal),
            "namespace": cluster.namespace,
            "ownerReferences": [owner] if owned else [],
        },
    }
