"""The registry of children: every object that the operator makes for a CounterCluster, in the order
in which they are applied. What is not here is not made, and what is here has a golden file. Which
kinds are watched is said in run/handlers.py, what the operator may do in manifests/rbac.yaml."""

from __future__ import annotations

from countercluster_operator.credentials.secured import PLAIN, Secured
from countercluster_operator.manifest import Manifest
from countercluster_operator.model import Cluster
from countercluster_operator.resources import (
    access,
    cache,
    disruption,
    monitoring,
    network,
    secrets,
    services,
    statefulset,
)
from countercluster_operator.resources.child import Child, Wish

REGISTRY: tuple[Child, ...] = (
    *secrets.CHILDREN,
    *access.CHILDREN,
    *services.CHILDREN,
    *network.CHILDREN,
    *statefulset.CHILDREN,
    *disruption.CHILDREN,
    *cache.CHILDREN,
    *monitoring.CHILDREN,
)


def all_children(
    cluster: Cluster,
    replicas: int,
    voters: int,
    claim_size: str = "",
    secured: Secured = PLAIN,
) -> list[Manifest]:
    """The manifests of those that there should be (child.py has the parameters)."""
    wish = Wish(cluster, replicas, voters, claim_size, secured)
    made = (child.desired(wish) for child in REGISTRY)
    return [manifest for manifest in made if manifest is not None]


def unwanted(cluster: Cluster, voters: int) -> list[tuple[str, str, str]]:
    """(apiVersion, kind, name) of children that must not be there."""
    wish = Wish(cluster, voters, voters)
    return [
        (child.api_version, child.kind, child.name(cluster.name))
        for child in REGISTRY
        if child.unwanted(wish)
    ]
