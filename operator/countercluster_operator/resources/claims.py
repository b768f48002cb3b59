"""The volume claims, which the StatefulSet makes: who owns them, and their size.

With spec.storage.retain=Delete they are owned by the CounterCluster, and so are collected with it;
with Retain they are owned by nobody. The StatefulSet's own retention policy is not used: it would
delete the data with a StatefulSet that somebody deleted by mistake.

A claim may only grow, and only where its StorageClass allows it: the API server says so
(ChildRefused), and spec.storage.size can be set back. The StatefulSet's claim template cannot be
changed at all: once all claims have the new size, plan.py lets the StatefulSet be made again around
its pods."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from countercluster_operator import names
from countercluster_operator.decide.volumes import is_small
from countercluster_operator.model import Cluster
from countercluster_operator.quantity import in_bytes
from countercluster_operator.world.observed import Claim, Observed


def to_write(cluster: Cluster, seen: Observed, going: Collection[Claim]) -> list[dict[str, Any]]:
    """The claims that are not as the spec wants them. `going`: those that are about to be
    deleted."""
    own = cluster.spec.storage.retain == "Delete"
    differing = [
        c for c in seen.claims if c not in going and (c.owned != own or _size(cluster, c) != c.size)
    ]
    return [_claim(cluster, c, owned=own) for c in differing]


def _size(cluster: Cluster, claim: Claim) -> str:
    """What the claim should ask for. A wish that the volume has not followed can be taken back,
    down to more than the volume has."""
    wanted = cluster.spec.storage.size
    if is_small(cluster, claim):
        return wanted
    back = bool(claim.capacity) and in_bytes(claim.capacity) < in_bytes(wanted) < in_bytes(
        claim.size
    )
    return wanted if back else claim.size


def _claim(cluster: Cluster, claim: Claim, *, owned: bool) -> dict[str, Any]:
    """The size is in every write: server-side apply takes away what its owner leaves out."""
    owner = {**cluster.owner, "controller": False}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": names.claim(cluster.name, claim.ordinal),
            "namespace": cluster.namespace,
            "ownerReferences": [owner] if owned else [],
        },
        "spec": {"resources": {"requests": {"storage": _size(cluster, claim)}}},
    }
