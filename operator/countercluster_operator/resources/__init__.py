"""The children of a CounterCluster: one module a kind, each with a pure `desired(cluster, …)`.
`all_children` is the ordered registry.

Nothing in a pod template depends on the operator's own version, so a new operator restarts no pod.
"""

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


def all_children(
    cluster: Cluster,
    replicas: int,
    voters: int,
    claim_size: str = "",
    secured: Secured = PLAIN,
) -> list[Manifest]:
    """In the order in which they are applied. `replicas`: pods there should be now; `voters`:
    members that vote, or will; `claim_size`: of the StatefulSet that there is."""
    children = [
        *secrets.all_of(cluster, secured),
        access.service_account(cluster),
        services.peers(cluster),
        services.clients(cluster),
    ]
    children += [network.policy(cluster), network.cache_policy(cluster)]
    if secured.can_mount(cluster):
        children.append(statefulset.desired(cluster, replicas, claim_size))
    if (budget := disruption.desired(cluster, voters)) is not None:
        children.append(budget)
    if cluster.spec.cache.enabled:
        children += [cache.service(cluster), cache.pods_service(cluster)]
        children += [cache.deployment(cluster, secured)] if secured.can_mount(cluster) else []
    if cluster.spec.monitoring.enabled:
        children += monitoring.all_of(cluster)
    return children


def unwanted(cluster: Cluster, voters: int) -> list[tuple[str, str, str]]:
    """(apiVersion, kind, name) of children that must not be there."""
    gone = []
    if not cluster.spec.monitoring.enabled:
        gone += [
            (m["apiVersion"], m["kind"], m["metadata"]["name"]) for m in monitoring.all_of(cluster)
        ]
    if disruption.desired(cluster, voters) is None:
        gone.append(("policy/v1", "PodDisruptionBudget", cluster.name))
    if not cluster.spec.cache.enabled:
        parts = (cache.service(cluster), cache.pods_service(cluster), cache.deployment(cluster))
        gone += [(m["apiVersion"], m["kind"], m["metadata"]["name"]) for m in parts]
    return gone
