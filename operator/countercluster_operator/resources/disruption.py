"""How many pods may go at once. An integer, because a percentage or maxUnavailable counts again as
pods vanish and lets a drain eat the quorum."""

from __future__ import annotations

from typing import Any

from countercluster_operator import names
from countercluster_operator.decide.quorum import quorum
from countercluster_operator.manifest import metadata
from countercluster_operator.model import Cluster
from countercluster_operator.resources.child import Child, Wish, same


def desired(cluster: Cluster, voters: int) -> dict[str, Any] | None:
    """None for a cluster of one: a budget would only block drains."""
    if voters < 2:
        return None
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(cluster, cluster.name, names.NODE),
        "spec": {
            "minAvailable": quorum(voters),
            "selector": {"matchLabels": names.selector(cluster.name, names.NODE)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def _desired(wish: Wish) -> dict[str, Any] | None:
    return desired(wish.cluster, wish.voters)


CHILDREN = (
    Child("policy/v1", "PodDisruptionBudget", same, _desired, lambda wish: _desired(wish) is None),
)
