"""How far a volume is from the size that the spec asks for. Pure."""

from __future__ import annotations

from countercluster_operator.model import Cluster
from countercluster_operator.quantity import in_bytes
from countercluster_operator.world.observed import Claim


def is_small(cluster: Cluster, claim: Claim) -> bool:
    return in_bytes(claim.size) < in_bytes(cluster.spec.storage.size)


def is_growing(cluster: Cluster, claim: Claim) -> bool:
    """It was asked to grow, and its volume has not got there: only status.capacity says when."""
    wanted = min(in_bytes(claim.size), in_bytes(cluster.spec.storage.size))
    return bool(claim.capacity) and in_bytes(claim.capacity) < wanted
